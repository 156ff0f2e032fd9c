#pragma GCC optimize("O2")
#include "lines.h"
#include "work.h"

double optimized(int rounds)
{
	return work(rounds);
}
