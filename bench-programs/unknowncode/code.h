// Runs machine code that is made at the first call, and calls back to Go once.
void run_made_code(void);
// Nanoseconds of processor time in the code so far.
long spent(void);
// Has a thread of its own named "c-worker" work for so long; returns the nanoseconds of processor time that took.
long work_in_thread(long milliseconds);
