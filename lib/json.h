/* json.h — reading JSON and writing it.
 *
 * Reading: one pass decides (RFC 8259; 95/95 and 188/188 of JSONTestSuite), names the error's offset and notes where each value stands; most of what
 * we read is long strings, which it passes eight bytes at a time. What hurries nobody is walked by jsmn behind the same validator. Numbers stay text.
 * A value is an int index into the document; 0 is the root, -1 is "none" and every accessor accepts -1 and answers "none"/false/0.
 * The text is borrowed: it must outlive the document. */
#ifndef VCR_JSON_H
#define VCR_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "error.h"

enum vcr_json_flag {
	VCR_JSON_RELAXED = 1, /* accept what Python's json module writes: NaN, Infinity, -Infinity, lone surrogate escapes */
};
enum vcr_json_type { VCR_JSON_NONE, VCR_JSON_OBJECT, VCR_JSON_ARRAY, VCR_JSON_STRING, VCR_JSON_NUMBER, VCR_JSON_BOOL, VCR_JSON_NULL };

/* 0, VCR_ESYNTAX, VCR_ETRUNC (a prefix of valid JSON) or VCR_ELIMIT (depth > VCR_MAX_JSON_DEPTH). *tokens: objects, arrays,
 * keys, strings and primitives. *at: offset of the error. Both may be NULL. */
int vcr_json_validate(const char *text, size_t len, unsigned flags, size_t *tokens, size_t *at);

/* Is it valid, and in one line of printable ASCII, and no key of it "__type__" (or written with an escape, and so perhaps that)? */
bool vcr_json_is_line(const char *text, size_t len);

struct vcr_json {
	const char *text;
	size_t len;
	void *tok;      /* private */
	size_t ntok;
};
#define VCR_JSON_INIT { 0 }
#define VCR_AUTO_JSON __attribute__((cleanup(vcr_json_release))) struct vcr_json
int vcr_json_parse(struct vcr_json *j, const char *text, size_t len, unsigned flags, struct vcr_error *e);
/* The same of a file that people or other programs write, by jsmn. */
int vcr_json_document(struct vcr_json *j, const char *text, size_t len, unsigned flags, struct vcr_error *e);
void vcr_json_release(struct vcr_json *j);

enum vcr_json_type vcr_json_type(const struct vcr_json *j, int v);
int vcr_json_get(const struct vcr_json *j, int object, const char *key);   /* value; the last of equal keys; -1 */
/* The same for n different keys in one walk: at[i] is the value of key[i]. In the order in which they are written they are found soonest. */
void vcr_json_pick(const struct vcr_json *j, int object, const char *const *key, int n, int *at);
int vcr_json_path(const struct vcr_json *j, int v, const char *path);      /* "choices[0].delta.content"; -1 */
int vcr_json_count(const struct vcr_json *j, int v);                        /* members or items */
int vcr_json_item(const struct vcr_json *j, int array, int i);              /* O(i) */
/* Walk: for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)). In an object m is the key (a string) and
 * vcr_json_value(j, m) its value; in an array m is the item. O(1) each. */
int vcr_json_first(const struct vcr_json *j, int v);
int vcr_json_next(const struct vcr_json *j, int m);
int vcr_json_value(const struct vcr_json *j, int key);
/* The text of a value as it stands (strings with their quotes); "" if none. */
const char *vcr_json_raw(const struct vcr_json *j, int v, size_t *len);
bool vcr_json_is(const struct vcr_json *j, int v, const char *s);            /* a string equal to s after unescaping */
/* Append the unescaped UTF-8 of a string (a lone surrogate becomes U+FFFD). 0; 1 if v is not a string (nothing appended). */
int vcr_json_str(const struct vcr_json *j, int v, struct vcr_buf *out);
/* malloc'd copy, or NULL if not a string. */
char *vcr_json_strdup(const struct vcr_json *j, int v);
/* Numbers: false and *out untouched if v is not a number or does not fit; a float with no fraction is an integer. */
bool vcr_json_int(const struct vcr_json *j, int v, int64_t *out);
bool vcr_json_double(const struct vcr_json *j, int v, double *out);
bool vcr_json_true(const struct vcr_json *j, int v);
/* Same value: objects compared without regard to order, the values of a repeated key in their order; integers by their digits, other numbers by
 * their value. Time grows as n log n with the texts, whatever they hold. False also when memory runs out. (json-equal.c) */
bool vcr_json_equal(const struct vcr_json *a, int va, const struct vcr_json *b, int vb);
/* The members of an object by key (its bytes unescaped), those of equal keys in their order. The keys live as long as the list and the
 * document. A value that is no object has none. */
struct vcr_json_member { const char *key; size_t n; int at; /* the key; vcr_json_value(j, at) */ };
struct vcr_json_members { struct vcr_json_member *m; size_t n; bool repeated; /* two have the same key */ struct vcr_buf keys; /* private */ };
#define VCR_JSON_MEMBERS_INIT { .keys = VCR_BUF_INIT }
int vcr_json_members(const struct vcr_json *j, int object, struct vcr_json_members *out);
void vcr_json_members_release(struct vcr_json_members *l);
#define VCR_AUTO_MEMBERS __attribute__((cleanup(vcr_json_members_release))) struct vcr_json_members
/* Less, equal, greater, as memcmp. */
int vcr_json_member_order(const struct vcr_json_member *x, const struct vcr_json_member *y);

/* Writing: compact, ASCII only (\uXXXX), one buffer. Commas are placed by the writer. A string's invalid UTF-8 bytes are
 * written as \ufffd. NaN and infinities are written as null. */
struct vcr_jw {
	struct vcr_buf *out;
	unsigned depth;
	uint64_t first[8]; /* bit per depth: nothing written yet at that level */
	bool after_key;
};
void vcr_jw_init(struct vcr_jw *w, struct vcr_buf *out);
void vcr_jw_object(struct vcr_jw *w);
void vcr_jw_object_end(struct vcr_jw *w);
void vcr_jw_array(struct vcr_jw *w);
void vcr_jw_array_end(struct vcr_jw *w);
void vcr_jw_key(struct vcr_jw *w, const char *key);
void vcr_jw_str(struct vcr_jw *w, const char *s);              /* NULL: null */
void vcr_jw_strn(struct vcr_jw *w, const char *s, size_t n);
void vcr_jw_int(struct vcr_jw *w, int64_t v);
void vcr_jw_double(struct vcr_jw *w, double v);                 /* shortest text that reads back equal, always with . or e */
void vcr_jw_bool(struct vcr_jw *w, bool v);
void vcr_jw_null(struct vcr_jw *w);
/* A value of another document: re-written compact and ASCII; strings keep their value, numbers their text; NaN/Infinity
 * become null. */
void vcr_jw_value(struct vcr_jw *w, const struct vcr_json *j, int v);
/* Text that is a valid compact ASCII JSON value already. */
void vcr_jw_raw(struct vcr_jw *w, const char *json, size_t n);

#endif
