/* error.h — how every function of the library fails.
 *
 * A function returns 0 when it did what it says, a negative enum vcr_code when it could not (forwarded unchanged by
 * callers), and a positive value for a condition that this one function documents. On failure outputs are untouched.
 * Words for people go into a struct vcr_error owned by the caller; NULL is allowed wherever one is taken.
 * The library never prints, logs or exits. */
#ifndef VCR_ERROR_H
#define VCR_ERROR_H

enum vcr_code {
	VCR_OK = 0,
	VCR_ENOMEM = -1,    /* no memory */
	VCR_EINVAL = -2,    /* the caller's argument is wrong */
	VCR_ELIMIT = -3,    /* a limit of limits.h was reached */
	VCR_ESYNTAX = -4,   /* the input is not what its format says */
	VCR_ETRUNC = -5,    /* the input ends too early */
	VCR_EIO = -6,       /* a system call failed; struct vcr_error.sys is its errno */
	VCR_ENOTFOUND = -7, /* there is no such thing */
	VCR_EEXIST = -8,    /* there is one already */
	VCR_EVERSION = -9,  /* written by a newer vcr */
	VCR_ECORRUPT = -10, /* checksum, hash or reference does not hold */
	VCR_EBUSY = -11,    /* held by someone else */
	VCR_ENOSYS = -12,   /* this machine cannot do it */
};

struct vcr_error {
	int code;       /* enum vcr_code, 0 if unset */
	int sys;        /* errno, or 0 */
	char what[500]; /* one line for people: what failed, where (file:line), what to do */
};

/* Fill *e (may be NULL) and return code. fmt as printf; no newline. */
int vcr_error_set(struct vcr_error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Like vcr_error_set with VCR_EIO; appends ": strerror(err)" and keeps err in e->sys. */
int vcr_error_sys(struct vcr_error *e, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A short constant text for a code, e.g. "not found". Never NULL. */
const char *vcr_strerror(int code);

#endif
