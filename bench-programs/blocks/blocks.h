/* Ways to be blocked in C. Each adds the time for which its thread was off the processor to its sum. */

enum way { MUTEX, SLEEP, PIPE, POLL, SYNC, PAGE, WAYS };

/* Prepares files and the threads that hold and write; returns 0, or -1. */
int prepare(const char *folder);

/* Is blocked once in this way, for some milliseconds. */
void block(int way);

/* Nanoseconds for which threads were blocked in this way. */
long blocked(int way);
