/* scrub-parts.h — inside scrub*.c: scrub.c (texts), scrub-session.c (a session's bodies and lines in order), scrub-lines.c (what is in a line). */
#ifndef VCR_SCRUB_PARTS_H
#define VCR_SCRUB_PARTS_H
#include <openssl/evp.h>
#include "redact.h"
#include "scrub.h"

enum { SCRUB_DEPTH = 512, SCRUB_INNER = 6 /* JSON in a string in JSON … */ };
struct vcr_scrub {
	struct vcr_rules *rules;
	struct vcr_redact *redact;
	const char *name[SCRUB_DEPTH];   /* keys from the root to where the walk is */
	size_t nname;
	bool fields;                     /* the rules' fields are looked for */
	bool state;                      /* the root is a frame's state: its _vcr has words of ours */
	unsigned inner;
	unsigned replaced;
};
/* Append value v of j scrubbed, its bytes kept where nothing is replaced. The caller has set fields and the rule (vcr_scrub_aim). */
int vcr_scrub_value(struct vcr_scrub *s, const struct vcr_json *j, int v, struct vcr_buf *out);
int vcr_scrub_any(struct vcr_scrub *s, const char *p, size_t n, struct vcr_buf *out);
/* The texts that follow are of the traffic with that host (NULL: nobody's). */
void vcr_scrub_aim(struct vcr_scrub *s, const char *host);

/* A body of the old file and what became of it. */
struct vcr_scrub_body { char old[48], new[48]; bool changed, known; char *host; };

struct vcr_scrub_run {
	struct vcr_reader *r;
	struct vcr_scrub *s;
	struct vcr_scrub_body *body;
	size_t nbody, cap_body;
	struct vcr_buf dropped;          /* SHA-256 of files whose content is another now, hex, NUL behind each */
	int fd;
	EVP_MD_CTX *chain;
	uint64_t written;
	int64_t bodies;                  /* written */
	bool writing;                    /* false: what is found is learnt only */
	struct vcr_scrubbed *done;
};
struct vcr_scrub_body *vcr_scrub_find_body(const struct vcr_scrub_run *x, const char *ref);
/* A body of the old file, scrubbed. */
int vcr_scrub_make_body(struct vcr_scrub_run *x, const struct vcr_scrub_body *b, struct vcr_buf *out, struct vcr_error *e);
/* scrub-lines.c: append the line's data scrubbed. frame: its index; -1 none. */
int vcr_scrub_frame(struct vcr_scrub_run *x, int64_t index, struct vcr_buf *out, struct vcr_error *e);
int vcr_scrub_exchange(struct vcr_scrub_run *x, const struct vcr_json *j, int v, struct vcr_buf *out, struct vcr_error *e);

#endif
