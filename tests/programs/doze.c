/* Sleeps within functions of its own, until it is ended. */
#include <unistd.h>

__attribute__((noinline)) static void inner_doze(void)
{
	usleep(5000);
	__asm__ volatile("");
}

__attribute__((noinline)) static void outer_doze(void)
{
	inner_doze();
	__asm__ volatile("");
}

int main(void)
{
	for (;;)
		outer_doze();
}
