/* doctor.h — what verb-doctor.c, doctor-machine.c and doctor-program.c share: one finding is one line. */
#ifndef VCR_DOCTOR_H
#define VCR_DOCTOR_H
#include "program.h"
#include "tool.h"

enum vcr_finding_level {
	VCR_FINDING_FINE,
	VCR_FINDING_LESS,    /* recording works; something that some need does not */
	VCR_FINDING_BAD,     /* recording does not work */
};
struct vcr_doctor {
	const struct vcr_tool *t;
	int less, bad;
	const char *lane;    /* of the command; NULL: none was asked about */
};
/* what: the stable name of the check. todo: what to do about it, or NULL. Both texts go through vcr_safe. */
void vcr_finding(struct vcr_doctor *d, enum vcr_finding_level level, const char *what, const char *todo, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* doctor-machine.c: everything that does not depend on a command. */
void vcr_doctor_machine(struct vcr_doctor *d);
/* doctor-program.c: which lane the command would get, and why. Sets d->lane: tap, gate, lent or none. */
void vcr_doctor_program(struct vcr_doctor *d, char *const argv[]);
#endif
