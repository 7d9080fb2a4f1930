#include "error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vcr_error_set(struct vcr_error *e, int code, const char *fmt, ...)
{
	if (!e)
		return code;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->what, sizeof e->what, fmt, ap);
	va_end(ap);
	e->code = code;
	e->sys = 0;
	return code;
}

int vcr_error_sys(struct vcr_error *e, int err, const char *fmt, ...)
{
	if (!e)
		return VCR_EIO;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->what, sizeof e->what, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof e->what)
		snprintf(e->what + n, sizeof e->what - (size_t)n, ": %s", strerror(err));
	e->code = VCR_EIO;
	e->sys = err;
	return VCR_EIO;
}

const char *vcr_strerror(int code)
{
	static const char *const words[] = {
		"ok", "out of memory", "invalid argument", "limit reached", "malformed input", "input ends too early",
		"system call failed", "not found", "exists already", "written by a newer version", "corrupt", "busy",
		"not supported here",
	};
	int i = -code;
	return i >= 0 && i < (int)(sizeof words / sizeof *words) ? words[i] : "unknown error";
}
