/* redact.h — secrets never reach the disk.
 *
 * A redactor learns secret values (from header fields that carry credentials, *KEY*, *TOKEN*, *SECRET*, *PASSWORD* variables,
 * .env files, argv) and replaces them wherever they appear, in plain, URL-encoded, JSON-escaped and base64 form (all three
 * alignments), and well-known token shapes (sk-…, ghp_…, AKIA…, PEM private keys, JWTs in authorization …) even if not learnt,
 * by stable placeholders `{{vcr:secret:N:NAME}}`. Values shorter than 12 characters, numbers, words like true, paths, and
 * whatever appears as a model id, signature or image data are left alone. Valid JSON stays valid, unless a learnt value spans quotes and brackets of it: then
 * the value goes, whatever becomes of the JSON. One Aho-Corasick pass over each text. */
#ifndef VCR_REDACT_H
#define VCR_REDACT_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "http1.h"

struct vcr_redact;
struct vcr_redact *vcr_redact_new(void);
void vcr_redact_free(struct vcr_redact *r);
/* How many values have a number. While it stays the same, the same text is redacted the same way. */
size_t vcr_redact_known(const struct vcr_redact *r);
/* What is learnt from now on is also appended to a file (0600, made when it is missing), and what an earlier redactor appended there is learnt
 * first, in the same order: so it has the same numbers. path: on a tmpfs, in a directory of the user's own. Entries: two native uint32_t, lengths
 * of name and value, then these; one that was cut ends the list. No descriptor is kept. */
int vcr_redact_keep(struct vcr_redact *r, const char *path);
/* 0 learnt (or known), 1 not a secret by the rules above. name appears in the placeholder (upper-cased, [A-Z0-9_]). */
int vcr_redact_learn(struct vcr_redact *r, const char *name, const char *value, size_t n);
/* One variable of an environment, by name and value; learns if the name says so. */
int vcr_redact_learn_env(struct vcr_redact *r, const char *name, const char *value);
/* The text of a .env file (KEY=VALUE lines, quotes, export). */
void vcr_redact_learn_dotenv(struct vcr_redact *r, const char *text, size_t n);
/* One HTTP field: learns credential fields (authorization, x-api-key, api-key, x-goog-api-key, cookie, set-cookie, proxy-authorization …). */
void vcr_redact_learn_field(struct vcr_redact *r, const char *name, const char *value);
/* The query of a target: key=, api_key=, access_token=, token=, sig=, … */
void vcr_redact_learn_target(struct vcr_redact *r, const char *target);
/* The members of a JSON body that are named as credentials are: api_key, client_secret, access_token, password, … */
void vcr_redact_learn_json(struct vcr_redact *r, const char *p, size_t n);
/* Does a query parameter of that name carry a credential? */
bool vcr_redact_is_credential_parameter(const char *name, size_t n);
/* All of that from one request: fields, query, JSON or form body. Recorder and replay learn the same, or their keys would differ. */
void vcr_redact_learn_request(struct vcr_redact *r, const struct vcr_http1_field *field, size_t nfield, const char *target, const char *body, size_t nbody);
/* A process's arguments: --api-key V, --token=V, -H 'Authorization: …' */
void vcr_redact_learn_argv(struct vcr_redact *r, int argc, const char *const *argv);
/* Append text with every secret replaced; *count (may be NULL) is raised by the number of replacements. */
int vcr_redact(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count);
/* The same where lengths are written in the text (gRPC): what stands for a secret is as long as it, {{vcr:secret:---}}, without number and name; stars up to
 * 15 bytes. */
int vcr_redact_fitted(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count);
/* Bodies: like vcr_redact, and for an SSE body (sse true) also secrets that are split across the text pieces of
 * consecutive events: the pieces are replaced inside their events, the events stay valid. */
int vcr_redact_body(struct vcr_redact *r, const char *p, size_t n, bool sse, struct vcr_buf *out, unsigned *count);
/* Of a stream of events (or of lines of JSON) only the secrets that are split. */
int vcr_redact_stream(struct vcr_redact *r, const char *p, size_t n, struct vcr_buf *out, unsigned *count);
/* Has a value the placeholder `label`, it is called `other` from now on; two of one name are then one. */
void vcr_redact_rename(struct vcr_redact *r, const char *label, size_t n, const char *other, size_t nother);
/* What is to be replaced besides: the leftmost such text of p[0..n) at or after `from`; name stands in its placeholder. From 8 bytes on it is searched for in
 * later texts too, in every form, as if it had been learnt. fn NULL: none any more. */
typedef bool vcr_redact_rule_fn(void *ctx, const char *p, size_t n, size_t from, size_t *at, size_t *len, const char **name);
void vcr_redact_set_rule(struct vcr_redact *r, vcr_redact_rule_fn *fn, void *ctx);
/* The placeholder of a value, as if a rule had found it. NULL: no memory. Lives until the next one is numbered. */
const char *vcr_redact_stand_in(struct vcr_redact *r, const char *name, const char *p, size_t n);
/* The first number that is given out (1); before anything is learnt. */
void vcr_redact_number_from(struct vcr_redact *r, size_t first);
/* true if a file of this name holds secrets as a whole (.env*, *.pem, id_*, credentials, .netrc, *.key, *.p12, …): its content is
 * never stored, in any form. */
bool vcr_redact_is_secret_file(const char *path);
/* Header fields that may be kept (allow-list): content-type, retry-after, request ids, rate limits, anthropic-version, … */
bool vcr_redact_keep_field(const char *name);

#endif
