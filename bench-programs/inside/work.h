// Nested functions that know how long each of them has worked.
#ifndef WORK_H
#define WORK_H

enum { LIGHT, HEAVY, MIDDLE, BOTTOM, LEAVES };

// Calls light, then middle, which calls bottom.
void outer(int rounds);
// Calls heavy.
void other(int rounds);
// Back into Go, which calls other.
void through_go(int rounds);
// Processor time in nanoseconds that a leaf has taken on all threads.
long long worked_ns(int leaf);

#endif
