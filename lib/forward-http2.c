/* forward-http2.c — a single stream of HTTP/2 that goes on to its server, which only a replay that is online asks for (a recording relays whole connections): a
 * whole transfer of curl's. The sink is shown it as HTTP/1.1 in chunks, with its trailers behind them. */
#include "forward-parts.h"
#include "limits.h"
#include <string.h>
#include <strings.h>

enum { INTERNAL_ERROR = 2, REFUSED_STREAM = 7 };

void vcr_forward_stream_begin(struct transfer *t)
{
	curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)(t->tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
	if (!t->tls) { /* 7.88 says its preface again on one that it has kept */
		curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
	}
}

/* "HTTP/2 200 " becomes what http1.h reads; a body without a length comes in chunks there. A server that answers by HTTP/1.1 after all has said both itself. */
void vcr_forward_stream_head(struct vcr_buf *head)
{
	static const char version[] = "HTTP/2", other[] = "HTTP/1.1", framing[] = "Transfer-Encoding: chunked\r\n\r\n";
	VCR_AUTO_BUF told = VCR_BUF_INIT;
	size_t k = sizeof version - 1;
	if (head->len < k + 2 || memcmp(head->data, version, k) || head->data[k] != ' ')
		return;
	vcr_buf_add(&told, other, sizeof other - 1);
	vcr_buf_add(&told, head->data + k, head->len - k);
	if (head->data[k + 1] != '1' && !strcasestr(told.data, "\ncontent-length:")) {
		vcr_buf_cut(&told, told.len - 2);
		vcr_buf_puts(&told, framing);
	}
	vcr_buf_reset(head);
	vcr_buf_add(head, told.data, told.len);
}

/* A line, with its end; the last is empty. */
void vcr_forward_stream_trailer(struct transfer *t, const char *p, size_t n)
{
	if (memchr(p, ':', n) && !memchr(p, 0, n) && t->trailer.len + n <= VCR_MAX_GATE_HEAD)
		vcr_buf_add(&t->trailer, p, n);
}

static size_t read_trailer(char *p, struct vcr_http1_field field[VCR_MAX_HTTP_FIELDS])
{
	size_t n = 0;
	for (char *line, *rest = p; n < VCR_MAX_HTTP_FIELDS && (line = strsep(&rest, "\n")) && *line;) {
		char *value = strchr(line, ':');
		if (!value)
			continue;
		*value++ = 0;
		value += strspn(value, " \t");
		value[strcspn(value, "\r")] = 0;
		field[n++] = (struct vcr_http1_field){ line, value };
	}
	return n;
}

void vcr_forward_stream_end(struct transfer *t, struct vcr_gate_exchange *x)
{
	struct vcr_http1_field field[VCR_MAX_HTTP_FIELDS];
	if (t->chunked && !t->no_body) {
		vcr_forward_show_in(t, "0\r\n", 3);
		if (t->trailer.len)
			vcr_forward_show_in(t, t->trailer.data, t->trailer.len);
		vcr_forward_show_in(t, "\r\n", 2);
	}
	if (x)
		vcr_gate_trailers(x, field, read_trailer(t->trailer.data, field));
}

void vcr_forward_stream_fail(struct vcr_gate_exchange *x, bool sent)
{
	vcr_gate_reset(x, sent ? INTERNAL_ERROR : REFUSED_STREAM);
}
