#ifndef CLIB_H
#define CLIB_H

int add(int a, int b);
void sleep_ms(int ms);
void glFlush(void);
long sum(long *values, int count);
void each(int count);
void setup(void);
void work_us(int us);

#endif
