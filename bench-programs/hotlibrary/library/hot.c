#include <stdlib.h>
#include "../hot.h"

static inline double tiny(double value)
{
	return value * 0.5 + 1.0 / (value + 1.0);
}

static __attribute__((noinline)) double hidden(int rounds)
{
	double value = 1.0;
	for (int round = 0; round < rounds; round++)
		value = tiny(value);
	return value;
}

double hot(int rounds)
{
	return hidden(rounds) + 1.0;
}

static int by_value(const void *one, const void *other)
{
	return *(const int *)one - *(const int *)other;
}

int sorted(int count)
{
	int numbers[10000];
	for (int at = 0; at < count; at++)
		numbers[at] = at * 7919 % 10007;
	qsort(numbers, count, sizeof numbers[0], by_value);
	return numbers[count / 2];
}
