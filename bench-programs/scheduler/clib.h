// The C side: it knows on which threads it ran and how long, by its own clock.
#ifndef CLIB_H
#define CLIB_H

long now_ns(void);
int thread_id(void);
long sleep_for(long nanos);
void sleep_here(long nanos);
void work(void);
void visit(int depth, long nanos);
long spent_ns(void);
void call_from_threads(int threads, int calls);

#endif
