/* lent.c — a program that is built static, dynamic and as if by Go, and says what its environment is.
 *
 *   lent show                    prints each entry, ended by a NUL
 *   lent WORD... exec ARG...     becomes the program; WORDs before: NAME=VALUE sets, -NAME unsets, raw: the kernel is asked directly */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef GO_NOTE
__asm__(".pushsection .note.go.buildid,\"a\",@note\n.balign 4\n.long 4, 8, 4\n.ascii \"Go\\0\\0\"\n.ascii \"build-id\"\n.popsection");
#endif

extern char **environ;
static int raw;

static int show(void)
{
	for (char **e = environ; *e; e++)
		fwrite(*e, 1, strlen(*e) + 1, stdout);
	return 7;
}

static void become(char **argv)
{
#ifdef __x86_64__
	long r;
	if (raw)
		__asm__ volatile("syscall" : "=a"(r) : "a"(SYS_execve), "D"(argv[0]), "S"(argv), "d"(environ) : "rcx", "r11", "memory");
#endif
	execve(argv[0], argv, environ);
	_exit(127);
}

int main(int argc, char **argv)
{
	for (char **word = argv + 1; *word; word++) {
		if (!strcmp(*word, "show"))
			return show();
		if (!strcmp(*word, "exec"))
			become(word + 1);
		else if (!strcmp(*word, "raw"))
			raw = 1;
		else if (**word == '-')
			unsetenv(*word + 1);
		else
			putenv(*word);
	}
	return 2;
}
