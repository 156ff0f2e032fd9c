// The C side of the bench programs. It knows how long it took by its own clock.
#ifndef CLIB_H
#define CLIB_H

void nop(void);
int add(int a, int b);
void spin(long nanos);
void spin_short(long nanos);
void pause_for(long nanos);
void tail(void);
void mixed(void);
int fails(int code);
void call_back(int depth);
void call_back_once(void);
void call_back_panic(int how);
void leaf(void);
int fork_once(int how);
void leave(void);
void run_foreign_threads(int threads, int calls);
long spent_ns(int which);
long held_ns(int which);

#endif
