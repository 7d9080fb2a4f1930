/* config.h — .vcr/config: what a user may set for recording, one setting a line.
 *
 *   # comment
 *   model-host  api.example.com          further model host; *.example.com for a suffix; may stand several times
 *   ignore      build/                   further paths whose files make no frames and are in no savepoint (gitignore patterns); may stand several times
 *   ignored     keep | leave             what git ignores is in savepoints as anything else, or in none, and rollbacks leave it alone
 *   prices      /path/to/prices.json     overrides the shipped price table
 *   capture     all                      keep every HTTP exchange, not only the models'
 *   burst       100 | off                so many changes of one place have frames of their own, what a program does there beyond that is one
 *   known-files, watched-directories N   so many paths of the workspace are known, so many of its directories are watched (files.h)
 *   lane        tap | gate | auto        how vcr-record records model calls, unless --lane says it
 *   connect-to  HOST1:PORT1:HOST2:PORT2  the gate connects to HOST2:PORT2 where HOST1:PORT1 is asked for; may stand several times
 *   cacert      /path/to/roots.pem       whom the gate trusts, instead of the system's roots
 *   normaliser  NAME REGEX               what a replay looks past, beside what it does already (normal-user.h); may stand several times
 *   quota       2G                       sessions and savepoints may take so much; beyond it vcr-record deletes the oldest (vcr-gc)
 *
 * $VCR_MODEL_HOSTS (comma-separated) adds hosts, $VCR_PRICES names a price file. Unknown words are an error that names file and line. */
#ifndef VCR_CONFIG_H
#define VCR_CONFIG_H
#include <stdbool.h>
#include <stdint.h>
#include "error.h"

enum { VCR_CONFIG_BURST = 100 };
struct vcr_config {
	char **model_hosts; /* NULL-terminated, never NULL after load */
	char **ignore;      /* likewise */
	char *prices;       /* NULL unless set */
	bool capture_all, leave_ignored;
	int64_t quota;      /* bytes; 0: none */
	int burst;          /* VCR_CONFIG_BURST unless set; 0 off */
	int known_files, watched_directories; /* 0 unless set */
	char *lane, *cacert; /* likewise */
	char **connect_to, **normalisers; /* NULL-terminated, never NULL after load */
};
/* A missing file is an empty one. On a syntax error what stands before it is kept. */
int vcr_config_load(struct vcr_config *c, const char *vcr_dir, struct vcr_error *e);
/* A number from 1, or off (0). VCR_ESYNTAX */
int vcr_config_burst(const char *value, int *out);
void vcr_config_release(struct vcr_config *c);

#endif
