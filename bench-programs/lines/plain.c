#pragma GCC optimize("O0")
#include "lines.h"
#include "work.h"

double plain(int rounds)
{
	return work(rounds);
}
