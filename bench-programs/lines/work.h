/* What each of the files does, inlined where the compiler likes to. */
#include <math.h>

static inline double innermost(double value)
{
	return sqrt(value + 1.0) * 0.5;
}

static inline double middle(double value, int round)
{
	if (round % 3 == 0)
		value = innermost(value);
	return value + innermost(value * 0.25);
}

static inline double work(int rounds)
{
	double value = 1.0;
	for (int round = 0; round < rounds; round++)
		value = middle(value, round);
	return value;
}
