/* reader-parts.h — inside reader*.c: the index of a session file, and the lines that are parsed at the moment.
 *
 * The file is read, not mapped: a recording may be cut while we look at it, and a mapping would then be a SIGBUS. Opening goes through
 * the file in small windows that stay in the cache (no page of the file is kept), so it is as fast as a mapping too. */
#ifndef VCR_READER_PARTS_H
#define VCR_READER_PARTS_H
#include <stddef.h>
#include "index.h"
#include "reader.h"
#include "scan.h"

struct vcr_entry {
	uint64_t offset, id_hash;  /* frames: of frame_id; bodies: of ref */
	size_t len;                /* without the newline */
	int64_t line, time_ns;     /* INT64_MAX: none */
	const char *type;          /* frames: frame_type; other lines: type. Interned. */
	bool call;                 /* a model call or its error */
	bool look;                 /* something was said of it: it is among `looks` too */
};
struct vcr_entries { struct vcr_entry *v; size_t n, cap; };

/* One line in memory, parsed. */
struct vcr_loaded {
	uint64_t offset;           /* of the line; UINT64_MAX: nothing is loaded */
	struct vcr_buf text;
	struct vcr_json j;
	int data;
};

struct vcr_hash_slot { uint64_t hash; size_t entry; }; /* entry + 1; 0: free */
struct vcr_hash_index { struct vcr_hash_slot *slot; size_t cap, covers; };

/* The state built last by vcr_reader_full_input: a conversation read forwards costs each frame once. */
struct vcr_piece_of { size_t key, nkey, at, n; bool outer; };
struct vcr_full {
	int64_t frame;             /* -1: nothing is built */
	struct vcr_buf text;       /* what the pieces point into */
	struct vcr_piece_of *member, *message;
	size_t nmember, cap_member, nmessage, cap_message;
	size_t omitted;            /* messages that earlier frames show */
	char list_key[32], inside[32];
	size_t marks, nmarks;      /* text of _vcr.marks */
};

struct vcr_reader {
	int fd;
	char *path;
	vcr_reader_warn_fn *warn;
	void *warn_ctx;
	uint64_t end;              /* bytes taken in */
	int64_t lines, last_line;  /* newlines seen; the last line that is not blank */
	bool torn_reported, has_session;
	struct vcr_entries frames, others;
	struct vcr_entries looks;  /* of a large file: lines that are not known without being read, headers among them */
	struct vcr_index_file of;  /* size 0: too small for an index, or unknown */
	bool indexed, no_index;    /* lines are where an index says; none can be made */
	char *types[64]; size_t ntypes;
	struct vcr_hash_index by_id, by_ref;
	struct vcr_reader_session session;
	struct vcr_loaded tail;    /* the vcr.end line */
	char **tags;
	bool totals_known;
	struct vcr_loaded current, other, near[2];
	ptrdiff_t near_last;       /* the slot used last */
	char *str[8];
	char *end_json, *metadata_json, *session_id, *parent_id;
	struct vcr_decoded { char *ref; struct vcr_buf body; } decoded[2]; /* the bodies decoded last: asked for; near one of these */
	struct vcr_full full;
};

/* reader.c, for reader-index.c: the one copy of a name; one more entry; a line that an index only says where it is. */
const char *vcr_reader_intern(struct vcr_reader *r, const struct vcr_span *s, const char *missing);
int vcr_reader_push(struct vcr_entries *l, const struct vcr_entry *at);
int vcr_reader_look(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_buf *line);
/* reader.c: something is wrong with that line; its text as it stands. */
void vcr_reader_warn(struct vcr_reader *r, int64_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vcr_reader_line(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_buf *text, struct vcr_error *e);
/* reader-session.c: of several headers the last one counts, as for VCRPlayer; p is the line's text. vcr.end closes the file only where it is the last line. */
int vcr_reader_take_session(struct vcr_reader *r, const struct vcr_entry *at, const char *p);
void vcr_reader_find_end(struct vcr_reader *r);
void vcr_reader_free_tags(struct vcr_reader *r);
/* reader-index.c: before the file is read, and after. An index that proves wrong in this leaves the reader as new. */
void vcr_reader_take_index(struct vcr_reader *r);
void vcr_reader_leave_index(struct vcr_reader *r);
/* Is it an index that says where that line is? */
bool vcr_reader_is_told(const struct vcr_reader *r, const struct vcr_entry *at);
/* Then: is p[0..at->len), between those two bytes, the line that it said it is? VCR_ECORRUPT if not; there is no index any more then. */
int vcr_reader_is_line(struct vcr_reader *r, const struct vcr_entry *at, const char *p, const char ends[2], struct vcr_error *e);

/* reader-ahead.c: a line as a thread found it. type NULL: no plain one, it has to be looked at. */
struct vcr_found { uint64_t offset, id_hash; size_t len; int64_t blank /* lines before it */, time_ns; const char *type; bool call, other; /* no frame */ };
enum { VCR_FOUND_PARTS = 4 };
struct vcr_found_part { struct vcr_found *v; size_t n, cap; int64_t blank /* lines behind the last */; uint64_t end; };
/* The whole lines of the file's first `size` bytes, in parts that follow each other; v is the caller's to free. 0: too small, or it did not
 * work; nothing is to be freed then. */
int vcr_reader_find_lines(int fd, uint64_t size, struct vcr_found_part part[VCR_FOUND_PARTS]);
/* Is a frame line of that type (may be NULL) a model call or the error of one? */
bool vcr_reader_is_call(const char *type, const struct vcr_line *l);

/* The frame of that index; NULL and the words for it if there is none. */
const struct vcr_entry *vcr_reader_entry(struct vcr_reader *r, int64_t index, struct vcr_error *e);
/* The entry among `others` of the body with that reference; -1. */
int64_t vcr_reader_by_ref(struct vcr_reader *r, const char *ref);
/* Read and parse the line of an entry; kept in *l until the next load. Errors name file:line. */
int vcr_reader_load(struct vcr_reader *r, const struct vcr_entry *at, struct vcr_loaded *l, struct vcr_error *e);
void vcr_loaded_release(struct vcr_loaded *l);
uint64_t vcr_reader_hash(const char *p, size_t n);
/* A frame's metadata.custom.vcr, or -1; VCR_EVERSION if it is of a higher format. *ours: it has one. */
int vcr_reader_check_format(struct vcr_reader *r, const struct vcr_entry *at, const struct vcr_json *j, int data, struct vcr_error *e);
void vcr_full_release(struct vcr_full *f);
/* reader-full.c: a frame's line, unwrapped, in one of two slots: valid until two others were asked for. An index that is none is said as vcr_reader_frame says it. */
int vcr_reader_near(struct vcr_reader *r, int64_t index, struct vcr_loaded **out, struct vcr_error *e);
/* VCR_ECORRUPT: the complete state of that frame cannot be rebuilt. */
int vcr_reader_broken(struct vcr_reader *r, int64_t index, struct vcr_error *e, const char *what);
/* vcr_reader_full_input, but for what a tool frame refers to. */
int vcr_reader_full_request(struct vcr_reader *r, int64_t index, struct vcr_buf *out, struct vcr_error *e);

#endif
