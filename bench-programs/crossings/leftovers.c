#include "leftovers.h"

extern void goHold(void);

long noted;
long noted_at;
int changed;

// Called by the C hook, if there is one: notes where that goes on, and where on the stack this lies.
void note_caller(void) {
	noted = (long)__builtin_return_address(0);
	noted_at = (long)((long *)__builtin_frame_address(0) + 1);
}

// Has words on its stack, while Go runs, that look like a frame of the hook.
void hold_look_alike(void) {
	volatile long words[5] = {noted, 0, 0, 0, (long)__builtin_return_address(0)};
	goHold();
	changed = words[0] != noted;
}
