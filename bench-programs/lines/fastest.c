#pragma GCC optimize("O3")
#include "lines.h"
#include "work.h"

static double table[64];

double fastest(int rounds)
{
	for (int at = 0; at < 64; at++)
		table[at] = innermost(table[at] + at);
	return work(rounds) + table[rounds % 64];
}
