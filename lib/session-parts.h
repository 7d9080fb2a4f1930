/* session-parts.h — inside session*.c: session.c writes lines, session-body.c knows which bodies there are. */
#ifndef VCR_SESSION_PARTS_H
#define VCR_SESSION_PARTS_H
#include "session.h"
#include "sha256.h"

enum { MAX_LANES = 64 };

struct lane {
	char *key;
	size_t nkey;
	char *body;
	size_t n, added;     /* added: packed bytes since the last key body */
	char ref[40];
	int chain;           /* bodies between this one and its key body */
	uint64_t used;
};
struct stored { unsigned char sha256[VCR_SHA256]; unsigned suffix; bool taken; };

struct vcr_session {
	int fd;
	char *dir, *path, *id;
	char *spare;                   /* another link to the file; NULL */
	struct vcr_buf head;           /* members of the header's data, without totals and times */
	char created[40];
	int64_t last_us;
	EVP_MD_CTX *chain;
	struct vcr_prehash *hashed;    /* bodies of calls */
	struct vcr_buf line, backlog, scratch;
	size_t held;                   /* bytes of whole lines at the beginning of `line` that are written with the next one */
	int64_t dropped, bodies;
	int sys;                       /* why the file did not take something, 0 if it took all */
	struct vcr_session_totals totals;
	struct lane lane[MAX_LANES];
	size_t nlanes, lane_bytes;
	uint64_t tick;
	struct stored *stored;         /* open addressing by the first 8 bytes of the hash */
	size_t nstored, cap_stored;
};

/* session.c: a line of that type, up to its data; and one to which nothing refers yet: the line that does comes at once, and is written with it. */
void vcr_session_begin_line(struct vcr_session *s, struct vcr_jw *w, const char *type);
int vcr_session_hold_line(struct vcr_session *s, struct vcr_error *e);
/* session-body.c: later bodies are written whole. */
void vcr_session_forget_bodies(struct vcr_session *s);
/* A body of that hash is in the file; suffix: of its reference, 0 none. VCR_ENOMEM. */
int vcr_session_remember_body(struct vcr_session *s, const unsigned char *sha256, unsigned suffix);

#endif
