int border_cross(int value);
