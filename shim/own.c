/* own.c — which file is the program that we were loaded into.
 *
 * /proc/self/exe says it, but for that the kernel makes entries in /proc, which it has to find and take away again when the process ends: of all that a short
 * program paid for us that was the dearest. Nearly always the name that execve was given (AT_EXECFN, getauxval(3)) leads to the same file: its links are
 * followed here, and the file's header is compared with what was loaded. */
#include <sys/auxv.h>
#include "shim.h"

enum { MOST_LINKS = 8, LONGEST_TARGET = 512 };

/* Absolute, with nothing in it that a link before it would give another meaning. */
VCR_EARLY static bool is_plain(const char *path)
{
	if (*path != '/')
		return false;
	for (const char *p = path; *p; p++) {
		const char *dots = p + 1;
		while (*p == '/' && *dots == '.' && dots < p + 3)
			dots++;
		if (*p == '/' && (!*dots || *dots == '/'))
			return false;
	}
	return true;
}

/* path with what begins at `name` and ends before `end` replaced by a link's target. */
static bool put_target(char path[PATH_MAX], char *name, const char *end, const char *target)
{
	size_t n = strlen(target), after = strlen(end);
	char *to = *target == '/' ? path : name;
	if ((size_t)(to - path) + n + after >= PATH_MAX)
		return false;
	memmove(to + n, end, after + 1);
	memcpy(to, target, n);
	return is_plain(path);
}

/* Each link on the way replaced by what it names. False: it is left to the kernel. */
VCR_EARLY static bool follow_links(char path[PATH_MAX])
{
	char target[LONGEST_TARGET];
	int links = 0;
	for (char *name = path + 1, *end; *name; name = *end ? end + 1 : end) {
		for (end = name; *end && *end != '/'; end++)
			;
		char kept = *end;
		*end = 0;
		long n = raw_readlink(path, target, sizeof target - 1);
		*end = kept;
		if (n == -EINVAL)
			continue;
		if (n <= 0 || n == sizeof target - 1 || ++links > MOST_LINKS)
			return false;
		target[n] = 0;
		if (!put_target(path, name, end, target))
			return false;
		end = path;
	}
	return true;
}

/* Not so for a script, and for what another program interprets (binfmt_misc). */
VCR_EARLY static bool is_loaded(const char *path)
{
	Elf64_Ehdr e;
	int fd = raw_open(path, O_RDONLY | O_CLOEXEC, 0);
	long n = fd >= 0 ? raw_read(fd, &e, sizeof e) : 0;
	if (fd >= 0)
		raw_close(fd);
	if (n != sizeof e || memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	uint64_t bias = e.e_type == ET_DYN ? getauxval(AT_PHDR) - e.e_phoff : 0;
	return e.e_phnum == getauxval(AT_PHNUM) && bias + e.e_entry == getauxval(AT_ENTRY);
}

VCR_EARLY long vcr_own_program(char out[PATH_MAX])
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	long n = name && is_plain(name) ? (long)strlen(name) : PATH_MAX;
	if (n < PATH_MAX) {
		memcpy(out, name, (size_t)n + 1);
		n = follow_links(out) && (vcr_self.named || is_loaded(out)) ? (long)strlen(out) : PATH_MAX;
	}
	if (n >= PATH_MAX)
		n = raw_readlink("/proc/self/exe", out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = 0;
	return n;
}
