// Static markers as <sys/sdt.h> makes them. Built by tests/usdt.rs as a program (with `main`) and, with -DLIBRARY, as a library.

#define _SDT_HAS_SEMAPHORES 1
#include <stdint.h>
#include <stdio.h>
#include <sys/sdt.h>
#include <unistd.h>

#define QUIET __attribute__((noinline))

__extension__ unsigned short prov_asked_semaphore __attribute__((section(".probes")));
#define semaphore(name) __extension__ unsigned short prov_##name##_semaphore __attribute__((section(".probes")));
semaphore(sizes) semaphore(globals) semaphore(indexed) semaphore(locals) semaphore(many) semaphore(twelve) semaphore(kinds)

struct row {
	long a;
	short b[8];
	signed char c;
};
static struct row rows[3] = { { 1, { -1, -2, -3 }, -1 }, { 2, { 10, 20, 30, 40 }, -2 }, { 3, { 7 }, -3 } };
int8_t g8 = -8;
uint8_t gu8 = 200;
int16_t g16 = -1600;
uint16_t gu16 = 60000;
int32_t g32 = -320000;
uint32_t gu32 = 4000000000u;
int64_t g64 = -64000000000;
uint64_t gu64 = 0xfedcba9876543210ull;

QUIET void sizes(int8_t a, uint8_t b, int16_t c, uint16_t d, int32_t e, uint32_t f, int64_t g, uint64_t h)
{
	DTRACE_PROBE8(prov, sizes, a, b, c, d, e, f, g, h);
}

QUIET void globals(void)
{
	DTRACE_PROBE8(prov, globals, g8, gu8, g16, gu16, g32, gu32, g64, gu64);
}

QUIET void indexed(long i, struct row *table)
{
	DTRACE_PROBE4(prov, indexed, table[i].a, table[1].b[i], table[i].c, i);
}

QUIET void locals(int n)
{
	volatile int four[4] = { n, n + 1, n + 2, -n };
	volatile char one = -3;
	volatile short two = -300;
	DTRACE_PROBE4(prov, locals, four[0], four[3], one, two);
}

// Inlined into two functions: one marker at two places, with its arguments in different registers.
static inline __attribute__((always_inline)) void many(int n)
{
	DTRACE_PROBE2(prov, many, n, n * 2);
}

QUIET int many_first(int n)
{
	many(n);
	return n;
}

QUIET int many_second(int a, int b, int n)
{
	n += 100;
	many(n);
	return a + b + n;
}

QUIET void twelve(int last)
{
	DTRACE_PROBE12(prov, twelve, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, last);
}

QUIET void kinds(double d)
{
	DTRACE_PROBE4(prov, kinds, -1, (char)-2, 0xffffffffffffffffull, d);
}

QUIET void round_of_all(int n)
{
	sizes(-8, 200, -1600, 60000, -320000, 4000000000u, -64000000000, 0xfedcba9876543210ull);
	globals();
	indexed(1, rows);
	locals(42);
	many_first(n);
	many_second(1, 2, n);
	twelve(12);
	kinds(1.5);
	if (prov_asked_semaphore)
		DTRACE_PROBE1(prov, asked, n);
}

// A line is read before each round; what the semaphore was is printed after it.
int run_rounds(void)
{
	char line[64];
	for (int n = 0; fgets(line, sizeof line, stdin); n++) {
		round_of_all(n);
		printf("%d\n", prov_asked_semaphore);
		fflush(stdout);
	}
	return 0;
}

#ifndef LIBRARY
int main(void)
{
	return run_rounds();
}
#endif
