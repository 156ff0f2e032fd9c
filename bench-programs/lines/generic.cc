#include "lines.h"

namespace walks {

template <typename Value, int Step>
struct Walk {
	Value value{};

	__attribute__((noinline)) void step(int round)
	{
		value += advance(round) * Value(Step);
	}

	Value advance(int round) const
	{
		return Value(round % 7) / Value(3);
	}
};

}

extern "C" double generic(int rounds)
{
	walks::Walk<double, 2> fine;
	walks::Walk<long, 5> coarse;
	for (int round = 0; round < rounds; round++) {
		fine.step(round);
		coarse.step(round);
	}
	return fine.value + double(coarse.value);
}
