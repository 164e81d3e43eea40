// Static markers (USDT) of every kind, without <sys/sdt.h>: the notes are written by hand.
// x86-64 only. Built by tests/user_space.rs.

#define NOTE_AT(where, namespace, name, semaphore, args)                                                              \
	".pushsection .note.stapsdt,\"\",\"note\"\n"                                                                       \
	".balign 4\n.4byte 992f-991f, 994f-993f, 3\n"                                                                     \
	"991: .asciz \"stapsdt\"\n992: .balign 4\n"                                                                       \
	"993: .8byte " where ", _.stapsdt.base, " semaphore "\n"                                                           \
	".asciz \"" namespace "\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n"                                            \
	"994: .balign 4\n.popsection\n"
#define MARK(namespace, name, args) "990: nop\n" NOTE_AT("990b", namespace, name, "0", args)

__asm__(".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.popsection\n");

__attribute__((section(".probes"), used)) unsigned short watched;
unsigned global = 0x55555555;
static long table[4] = { 10, 20, 30, 40 };

__attribute__((noinline)) long leaf(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

__attribute__((noinline)) long leaves(long n)
{
	return leaf(n) * 2;
}

int main(void)
{
	// Constants, cut to their size.
	__asm__ volatile(MARK("args", "constants", "-1@$-16 1@$-16 -2@$-3600 4@$-1 8@$0x123456789abcdef0"));
	// Registers and their parts.
	__asm__ volatile("mov $0x1122334455667788, %%rax\n"
			 "mov $-5, %%r10\n" MARK("args", "registers", "8@%%rax 4@%%eax 2@%%ax 1@%%al 1@%%ah -4@%%r10d 8f@%%xmm0")
			 ::: "rax", "r10");
	// Memory: base, index and scale; relative to the instruction.
	__asm__ volatile("mov $2, %%rcx\n" MARK("args", "memory", "8@(%%rdx) 8@8(%%rdx) 8@(%%rdx,%%rcx,8) 4@global(%%rip)")
			 ::"d"(table), "m"(global)
			 : "rcx");
	// One marker at two places whose arguments are not in the same registers.
	__asm__ volatile("mov $1, %%rbx\n" MARK("places", "twice", "8@%%rbx") ::: "rbx");
	__asm__ volatile("mov $2, %%r12\n" MARK("places", "twice", "8@%%r12") ::: "r12");
	// Somebody looks: the kernel has raised the counter.
	if (*(volatile unsigned short *)&watched) {
		__asm__ volatile("990: nop\n" NOTE_AT("990b", "counted", "seen", "watched", "-4@$7"));
	}
	leaves(20);
	return 0;
}
