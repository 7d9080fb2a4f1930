/* witness.c — a library that stands before the shim and counts which of its hooks are called in which situation (where.h): preloaded before it, it has each
 * symbol of VCR_HOOKS(X) itself, adds one and jumps on. What it counts is in the file $WITNESS, one slot of 64 bytes per hook: its name, then a 32-bit
 * count per situation, in the order below. Vfork and fork children count in the same file, programs that are started begin in none. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "hooks.h"
#include "raw.h"

#define HIDDEN __attribute__((visibility("hidden")))
enum { SLOT = 64, SIZE = VCR_HOOK_COUNT * SLOT };

static const char *const names[] = {
#define X(name) #name,
	VCR_HOOKS(X)
#undef X
};
static const char situations[][12] = { "main", "constructor", "thread", "signal", "vfork", "closefrom", "exit" };
static char nowhere[SIZE + SLOT];
static char *file;
HIDDEN char *witness_row = nowhere; /* the file, moved on by four bytes per situation */
HIDDEN void *witness_target[VCR_HOOK_COUNT];
HIDDEN void *witness_find(unsigned i);

/* A hook's first call in this process. */
void *witness_find(unsigned i)
{
	void *p = dlsym(RTLD_NEXT, names[i]);
	if (!p)
		abort();
	return witness_target[i] = p;
}

static char *map(void)
{
	const char *path = getenv("WITNESS");
	int fd = path ? raw_open(path, O_RDWR | O_CLOEXEC, 0) : -1;
	char *p = fd < 0 ? nowhere : raw_mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	if (fd >= 0)
		raw_close(fd);
	if (raw_failed(p))
		abort();
	for (unsigned i = 0; i < VCR_HOOK_COUNT; i++)
		strcpy(p + i * SLOT, names[i]);
	return p;
}

__attribute__((visibility("default"))) void witness_in(const char *when);

/* From now on it is there; NULL: nowhere of interest. */
void witness_in(const char *when)
{
	char *row = nowhere;
	file = file ? file : map();
	for (unsigned i = 0; when && i < sizeof situations / sizeof *situations; i++)
		if (!strcmp(when, situations[i]))
			row = file + 4 * i;
	__atomic_store_n(&witness_row, row, __ATOMIC_RELEASE);
}

/* A hook's arguments are whatever its caller gave, so the stub leaves every register of theirs alone. */
#if defined __x86_64__
__asm__(".text\n"
	".macro hook name\n"
	".globl \\name\n"
	".type \\name, @function\n"
	".p2align 4\n"
	"\\name:\n"
	"	mov witness_row(%rip), %r11\n"
	"	lock incl hook_index * 64 + 32(%r11)\n" /* SLOT, NAME */
	"	mov witness_target + hook_index * 8(%rip), %r11\n"
	"	test %r11, %r11\n"
	"	jz 1f\n"
	"	jmp *%r11\n"
	"1:	mov $hook_index, %r11d\n"
	"	jmp witness_first\n"
	".size \\name, . - \\name\n"
	".set hook_index, hook_index + 1\n"
	".endm\n"
	"witness_first:\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	push %rcx\n"
	"	push %r8\n"
	"	push %r9\n"
	"	push %rax\n"
	"	sub $128, %rsp\n"
	"	movups %xmm0, (%rsp)\n"
	"	movups %xmm1, 16(%rsp)\n"
	"	movups %xmm2, 32(%rsp)\n"
	"	movups %xmm3, 48(%rsp)\n"
	"	movups %xmm4, 64(%rsp)\n"
	"	movups %xmm5, 80(%rsp)\n"
	"	movups %xmm6, 96(%rsp)\n"
	"	movups %xmm7, 112(%rsp)\n"
	"	mov %r11d, %edi\n"
	"	call witness_find\n"
	"	mov %rax, %r11\n"
	"	movups (%rsp), %xmm0\n"
	"	movups 16(%rsp), %xmm1\n"
	"	movups 32(%rsp), %xmm2\n"
	"	movups 48(%rsp), %xmm3\n"
	"	movups 64(%rsp), %xmm4\n"
	"	movups 80(%rsp), %xmm5\n"
	"	movups 96(%rsp), %xmm6\n"
	"	movups 112(%rsp), %xmm7\n"
	"	add $128, %rsp\n"
	"	pop %rax\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %rcx\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	jmp *%r11\n"
	".set hook_index, 0\n"
#define X(name) "hook " #name "\n"
	VCR_HOOKS(X)
#undef X
);
#endif
