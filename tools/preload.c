#include "preload.h"
#include "shim.h"
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The library beside this executable (a build tree), else the installed one; $VCR_SHIM wins. */
static const char *find_shim(char path[PATH_MAX])
{
	const char *set = getenv("VCR_SHIM");
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 40);
	if (set && *set)
		return !access(set, R_OK) ? set : NULL;
	if (n > 0) {
		path[n] = 0;
		strcpy(strrchr(path, '/'), "/.libs/libvcrshim.so");
		if (!access(path, R_OK))
			return path;
	}
	snprintf(path, PATH_MAX, "%s/libvcrshim.so", VCR_LIBDIR);
	return !access(path, R_OK) ? path : NULL;
}

/* libvcrdeterm.so is beside it. */
static bool find_companion(const char *shim, char path[PATH_MAX])
{
	const char *slash = strrchr(shim, '/');
	return snprintf(path, PATH_MAX, "%.*s/libvcrdeterm.so", (int)(slash - shim), shim) < PATH_MAX && !access(path, R_OK);
}

/* LD_PRELOAD: ours, then what the user has there, without a second copy of ours. */
const char *vcr_preload_list(struct vcr_buf *out, bool deterministic)
{
	static const char gap[] = ": ";
	char found[PATH_MAX], real[PATH_MAX], companion[PATH_MAX] = "";
	const char *shim = find_shim(found), *old = getenv("LD_PRELOAD");
	if (!shim)
		return "libvcrshim.so is not installed in " VCR_LIBDIR "; install vcr, or set VCR_SHIM";
	if (!realpath(shim, real) || strpbrk(real, ": "))
		return "the path of libvcrshim.so has a space or colon, which the dynamic linker cannot take; install it elsewhere";
	if (deterministic && !find_companion(real, companion))
		return "libvcrdeterm.so is not where libvcrshim.so is; install all of vcr";
	vcr_buf_puts(out, real);
	if (deterministic)
		vcr_buf_printf(out, ":%s", companion);
	for (const char *p = old ? old : ""; *p; p += strspn(p, gap)) {
		char one[PATH_MAX], other[PATH_MAX];
		size_t n = strcspn(p, gap);
		snprintf(one, sizeof one, "%.*s", (int)(n < sizeof one ? n : sizeof one - 1), p);
		bool same = !strcmp(one, "libvcrshim.so") || (realpath(one, other) && (!strcmp(other, real) || !strcmp(other, companion)));
		if (n && !same)
			vcr_buf_printf(out, ":%s", one);
		p += n;
	}
	return NULL;
}

enum vcr_target vcr_preload_target(const char *command)
{
	const char *list = getenv("PATH"), *end;
	char path[PATH_MAX];
	if (strchr(command, '/'))
		return vcr_elf_target(command, -1);
	for (list = list ? list : "/bin:/usr/bin"; list; list = *end ? end + 1 : NULL) {
		end = list + strcspn(list, ":");
		snprintf(path, sizeof path, "%.*s/%s", end > list ? (int)(end - list) : 1, end > list ? list : ".", command);
		if (!access(path, X_OK))
			return vcr_elf_target(path, -1);
	}
	return VCR_TARGET_TAKES;
}
