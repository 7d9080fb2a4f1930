/* point.h — how a program is pointed at a gate without the shim: proxy and CA variables first, base URLs second. */
#ifndef VCR_POINT_H
#define VCR_POINT_H
#include <stdbool.h>
#include "buf.h"

struct vcr_point {
	int port;
	const char *token;
	const char *bundle;            /* system roots, what the user had set, and the run's CA */
	const char *extra;             /* what NODE_EXTRA_CA_CERTS adds: what the user had set, and the run's CA */
	const char *const *hosts;      /* recorded hosts, as HOST[:PORT], NULL-terminated */
};
/* Calls fn for each variable and its value. Stops at a non-zero answer and returns it. */
int vcr_point_each(const struct vcr_point *p, int (*fn)(void *ctx, const char *name, const char *value), void *ctx);
/* The base URL of a host: http://127.0.0.1:PORT/vcr-TOKEN/HOST. */
void vcr_point_base_url(const struct vcr_point *p, const char *host, bool tls, struct vcr_buf *out);
/* Append what a person is told. */
void vcr_point_words(const struct vcr_point *p, struct vcr_buf *out);
#endif
