#include "tool.h"
#include "isolate.h"
#include "paths.h"
#include <linux/limits.h> /* <limits.h> would be lib/limits.h */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

static void say(const struct vcr_tool *t, const char *fmt, va_list ap)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT, line = VCR_BUF_INIT;
	vcr_buf_vprintf(&words, fmt, ap);
	vcr_buf_printf(&line, "vcr%s%s: ", t->verb ? "-" : "", t->verb ? t->verb : "");
	vcr_safe(&line, words.data, words.len, 0);
	vcr_buf_putc(&line, '\n');
	fflush(stdout);
	fwrite(line.data, 1, line.len, stderr);
}

void vcr_say(const struct vcr_tool *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(t, fmt, ap);
	va_end(ap);
}

int vcr_wrong_call(const struct vcr_tool *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(t, fmt, ap);
	va_end(ap);
	fprintf(stderr, "See: vcr%s%s --help\n", t->verb ? "-" : "", t->verb ? t->verb : "");
	return VCR_EXIT_USAGE;
}

int vcr_failed(const struct vcr_tool *t, const struct vcr_error *e)
{
	vcr_say(t, "%s", *e->what ? e->what : vcr_strerror(e->code));
	return e->code == VCR_ENOTFOUND || e->code == VCR_EINVAL ? VCR_EXIT_USAGE : VCR_EXIT_FAILED;
}

const char *vcr_on(const struct vcr_tool *t, enum vcr_style s)
{
	static const char *const code[] = { "\033[m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[34m", "\033[35m", "\033[36m" };
	return t->paint ? code[s] : "";
}

bool vcr_foreground(int fd)
{
	return isatty(fd) && tcgetpgrp(fd) == getpgrp();
}

int vcr_columns(void)
{
	struct winsize w;
	if (!isatty(1))
		return 0;
	return !ioctl(1, TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col : 80;
}

/* Length of the UTF-8 sequence at p (1..4) and its code point; 0 if it is none. */
static size_t utf8_at(const unsigned char *p, size_t n, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t k = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	if (!k || k > n)
		return 0;
	uint32_t v = k == 1 ? *p : *p & (0xffu >> (k + 1));
	for (size_t i = 1; i < k; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < least[k] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*c = v;
	return k;
}

/* Characters that steer a terminal or reorder the text around them. */
static bool is_steering(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069) || c == 0xfeff || (c >= 0xe0000 && c < 0xe0080);
}

/* Append the character at p; returns how many bytes it took. */
static size_t safe_char(struct vcr_buf *out, const char *p, size_t n, unsigned flags)
{
	uint32_t c;
	size_t k = utf8_at((const unsigned char *)p, n, &c);
	if (!k) {
		vcr_buf_printf(out, "\\x%02x", (unsigned char)*p);
		return 1;
	}
	if (!is_steering(c) || ((flags & VCR_SAFE_LINES) && (c == '\n' || c == '\t')))
		vcr_buf_add(out, p, k);
	else if (c == '\n' || c == '\t' || c == '\r')
		vcr_buf_puts(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
	else
		vcr_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
	return k;
}

void vcr_safe(struct vcr_buf *out, const char *p, size_t n, unsigned flags)
{
	for (size_t i = 0; i < n && !out->err;)
		i += safe_char(out, p + i, n - i, flags);
}

void vcr_safe_line(struct vcr_buf *out, const char *p, size_t n, size_t columns)
{
	size_t used = 0;
	for (size_t i = 0; i < n && !out->err;) {
		size_t before = out->len;
		i += safe_char(out, p + i, n - i, 0);
		used += (unsigned char)out->data[before] >= 0x80 ? 1 : out->len - before;
		if (columns && used >= columns && i < n) {
			vcr_buf_cut(out, before);
			vcr_buf_puts(out, "…");
			return;
		}
	}
}

unsigned vcr_distance(const char *s, const char *t)
{
	enum { MOST = 32 };
	size_t n = strlen(s), m = strlen(t);
	unsigned d[MOST + 1][MOST + 1];
	if (n > MOST || m > MOST)
		return MOST;
	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= m; j++) {
			d[i][j] = i && j ? d[i - 1][j - 1] + (s[i - 1] != t[j - 1]) : (unsigned)(i + j);
			if (i && j)
				d[i][j] = MIN(d[i][j], MIN(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && s[i - 1] == t[j - 2] && s[i - 2] == t[j - 1])
				d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[n][m];
}

int vcr_tool_dir(const struct vcr_tool *t, struct vcr_buf *dir, struct vcr_error *e)
{
	if (!t->vcr_dir) {
		const char *set = getenv("VCR_DIR");
		VCR_AUTO_BUF here = VCR_BUF_INIT, home = VCR_BUF_INIT;
		struct vcr_txn txn;
		if (!(set && *set) && !vcr_paths_workspace(".", &here, NULL) && !vcr_isolate_home(here.data, &home, &txn, NULL))
			return vcr_buf_puts(dir, txn.vcr_dir); /* a transaction's own tree is recorded where its repository is */
		return vcr_paths_vcr_dir(".", dir, e);
	}
	/* spools name their directory absolutely, so must we, or nothing settles */
	char *real = realpath(t->vcr_dir, NULL);
	char cwd[PATH_MAX];
	int err = 0;
	if (real)
		err = vcr_buf_puts(dir, real);
	else if (*t->vcr_dir == '/')
		err = vcr_buf_puts(dir, t->vcr_dir);
	else if (getcwd(cwd, sizeof cwd))
		err = vcr_buf_printf(dir, "%s/%s", cwd, t->vcr_dir);
	free(real);
	return err;
}
