/* Does some work, nearly all of it in a function that the library does not export. */
double hot(int rounds);

/* Has the C library sort so many numbers, at most 10,000. */
int sorted(int count);
