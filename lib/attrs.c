#include "attrs.h"
#include "limits.h"
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_listxattrat
#define SYS_listxattrat 465 /* the same number on every architecture */
#endif

static bool is_kept(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability") || !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* The calls take no directory: its descriptor's name in /proc stands for it. */
static void path_of(int dir, const char *name, struct vcr_buf *out)
{
	vcr_buf_printf(out, "/proc/self/fd/%d/%s", dir, name);
}

bool vcr_attrs_any(int dir)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	path_of(dir, ".", &path);
	return listxattr(path.data, NULL, 0) >= 0;
}

/* ---- Reading ---- */

struct names { char *text; const char **name; size_t n; };

static void release_names(struct names *l)
{
	free(l->text);
	free(l->name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int pick_names(struct names *l, size_t bytes)
{
	l->name = calloc(bytes / 2 + 1, sizeof *l->name); /* a name has a letter and its end */
	if (!l->name)
		return VCR_ENOMEM;
	for (const char *p = l->text; p < l->text + bytes; p += strlen(p) + 1)
		if (is_kept(p))
			l->name[l->n++] = p;
	qsort(l->name, l->n, sizeof *l->name, by_name);
	return 0;
}

/* Those that are kept, sorted. None where they cannot be listed. */
static int list_names(const char *path, struct names *l)
{
	char some[1024];
	ssize_t k = llistxattr(path, some, sizeof some);
	*l = (struct names){ 0 };
	if (k <= 0 && !(k < 0 && errno == ERANGE))
		return 0;
	if (!(l->text = calloc(1, XATTR_LIST_MAX + 1)))
		return VCR_ENOMEM;
	if (k > 0)
		memcpy(l->text, some, (size_t)k);
	else if ((k = llistxattr(path, l->text, XATTR_LIST_MAX)) <= 0)
		return 0;
	return pick_names(l, (size_t)k);
}

static void add_escaped(struct vcr_buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] > ' ' && p[i] < 0x7f && p[i] != '%' && p[i] != '=')
			vcr_buf_putc(out, p[i]);
		else
			vcr_buf_printf(out, "%%%02X", (unsigned char)p[i]);
}

int vcr_attrs_read(int dir, const char *name, struct vcr_buf *out)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct names l = { 0 };
	size_t begin = out->len;
	path_of(dir, name, &path);
	char *value = NULL;
	bool closed = false;
	int err = path.err ? path.err : list_names(path.data, &l);
	if (!err && l.n && !(value = malloc(XATTR_SIZE_MAX)))
		err = VCR_ENOMEM;
	for (size_t i = 0; !err && i < l.n; i++) {
		ssize_t k = lgetxattr(path.data, l.name[i], value, XATTR_SIZE_MAX);
		if (k < 0) {
			closed |= errno == EACCES || errno == EPERM;
			continue; /* gone meanwhile, or not ours to read */
		}
		add_escaped(out, l.name[i], strlen(l.name[i]));
		vcr_buf_putc(out, '=');
		add_escaped(out, value, (size_t)k);
		err = vcr_buf_putc(out, '\n');
		if (!err && out->len - begin > VCR_MAX_ATTRS)
			err = 1;
	}
	if (err)
		vcr_buf_cut(out, begin);
	free(value);
	release_names(&l);
	return err ? err : closed ? VCR_ATTRS_CLOSED : 0;
}

bool vcr_attrs_has(int dir, const char *path)
{
	static int missing; /* the system call: 1 once it was refused */
	char some[1024];
	long k = -1;
	if (!__atomic_load_n(&missing, __ATOMIC_RELAXED)) {
		k = syscall(SYS_listxattrat, dir, path, 0x100 /* AT_SYMLINK_NOFOLLOW */, some, sizeof some);
		if (k < 0 && (errno == ENOSYS || errno == EPERM))
			__atomic_store_n(&missing, 1, __ATOMIC_RELAXED);
	}
	if (__atomic_load_n(&missing, __ATOMIC_RELAXED)) {
		VCR_AUTO_BUF full = VCR_BUF_INIT;
		path_of(dir, path, &full);
		k = full.err ? -1 : llistxattr(full.data, some, sizeof some);
	}
	if (k < 0)
		return errno == ERANGE; /* so many that some are */
	for (const char *p = some; p < some + k; p += strlen(p) + 1)
		if (is_kept(p))
			return true;
	return false;
}

/* ---- Writing ---- */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* To a byte that is not escaped, `end`; *p stands on it. */
static int unescape(const char **p, const char *stop, char end, struct vcr_buf *out)
{
	vcr_buf_reset(out);
	for (; *p < stop && **p != end; ++*p) {
		if (**p != '%') {
			if (**p <= ' ' || **p == '=' || **p >= 0x7f)
				return VCR_ESYNTAX;
			vcr_buf_putc(out, **p);
			continue;
		}
		if (stop - *p < 3 || digit((*p)[1]) < 0 || digit((*p)[2]) < 0)
			return VCR_ESYNTAX;
		vcr_buf_putc(out, (char)(digit((*p)[1]) << 4 | digit((*p)[2])));
		*p += 2;
	}
	return *p == stop ? VCR_ESYNTAX : out->err;
}

struct attr { struct vcr_buf name, value; };
struct attrs { struct attr *at; size_t n; };

static void release_attrs(struct attrs *a)
{
	for (size_t i = 0; i < a->n; i++) {
		vcr_buf_release(&a->at[i].name);
		vcr_buf_release(&a->at[i].value);
	}
	free(a->at);
}

static int parse(const char *text, size_t n, struct attrs *a)
{
	const char *stop = text + n;
	for (const char *p = text; p < stop; p++) {
		struct attr *grown = reallocarray(a->at, a->n + 1, sizeof *grown), *it;
		if (!grown)
			return VCR_ENOMEM;
		a->at = grown;
		it = &a->at[a->n++];
		*it = (struct attr){ VCR_BUF_INIT, VCR_BUF_INIT };
		int err = unescape(&p, stop, '=', &it->name);
		p++;
		if (err || (err = unescape(&p, stop, '\n', &it->value)))
			return err;
		if (strlen(it->name.data) != it->name.len || !is_kept(it->name.data))
			return VCR_ESYNTAX;
	}
	return 0;
}

static bool is_among(const struct attrs *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->at[i].name.data, name))
			return true;
	return false;
}

/* 0, 1. */
static int make_so(const char *path, const struct attrs *a, const struct names *now)
{
	int why = 0;
	for (size_t i = 0; i < now->n; i++)
		if (!is_among(a, now->name[i]) && lremovexattr(path, now->name[i]) && why != EACCES)
			why = errno;
	for (size_t i = 0; i < a->n; i++)
		if (lsetxattr(path, a->at[i].name.data, a->at[i].value.data, a->at[i].value.len, 0) && why != EACCES)
			why = errno;
	errno = why;
	return why != 0;
}

int vcr_attrs_write(int dir, const char *name, const char *text, size_t n)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct attrs a = { 0 };
	struct names now = { 0 };
	path_of(dir, name, &path);
	int err = n > VCR_MAX_ATTRS ? VCR_ESYNTAX : parse(text, n, &a);
	if (!err && !(err = path.err) && !(err = list_names(path.data, &now)))
		err = make_so(path.data, &a, &now);
	int saved = errno;
	release_names(&now);
	release_attrs(&a);
	errno = saved;
	return err;
}
