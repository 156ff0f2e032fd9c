// C that tells what the C hook leaves on its stack, or has words there that look like it.
#ifndef LEFTOVERS_H
#define LEFTOVERS_H

extern long noted;
extern long noted_at;
extern int changed;

void note_caller(void);
void hold_look_alike(void);

#endif
