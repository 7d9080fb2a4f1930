/* match — what finding a request's recorded call costs: bench/match CALLS TURNS BYTES
 *
 * Makes a session of CALLS calls, in conversations of TURNS, each turn of BYTES of text with a date and a UUID in it, and asks for all of them three times: as
 * they are, with their members in another order, and with other dates and UUIDs. Prints one JSON object: microseconds a call, the mean and the worst. */
#include "match.h"
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char path[] = "/v1/chat/completions";

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Words that differ from turn to turn, as prose and code have them. */
static void words(struct vcr_buf *b, unsigned seed, size_t n, int run)
{
	static const char *const some[] = { "the", "function", "return", "value", "of", "config.c:", "error", "int", "file", "src/main.c", "if", "not", "0x7f", "12", "test", "passed" };
	size_t from = b->len;
	vcr_buf_printf(b, "on 2026-11-%02d, session %08x-e89b-12d3-a456-426614174000: ", 10 + run, seed * 2654435761u + (unsigned)run);
	for (unsigned x = seed + 1; b->len - from < n; x = x * 1103515245u + 12345u)
		vcr_buf_puts(b, some[x >> 16 & 15]), vcr_buf_putc(b, 32);
}

/* Call k of n: the last turn of so many of its conversation. */
static void request(struct vcr_buf *b, unsigned k, unsigned turns, size_t bytes, int run, bool turned)
{
	unsigned last = k % turns, first = k - last;
	vcr_buf_puts(b, turned ? "{\"messages\": [" : "{\"model\":\"m\",\"messages\":[");
	for (unsigned i = 0; i <= last; i++) {
		vcr_buf_printf(b, turned ? "%s{\"content\": \"" : "%s{\"role\":\"%s\",\"content\":\"", i ? "," : "", turned ? "" : i % 2 ? "assistant" : "user");
		words(b, first + i, bytes, run);
		vcr_buf_printf(b, turned ? "\", \"role\": \"%s\"}" : "\"}", i % 2 ? "assistant" : "user");
	}
	vcr_buf_puts(b, turned ? "], \"model\": \"m\"}" : "]}");
}

static void record(struct vcr_session *s, unsigned k, unsigned turns, size_t bytes)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT, vcr = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	char ref[40], answer[40], lane[24], k0[VCR_KEY_LEN], k1[VCR_KEY_LEN];
	static const char said[] = "{\"choices\":[]}";
	request(&body, k, turns, bytes, 0, false);
	snprintf(lane, sizeof lane, "c%u", k / turns);
	if (vcr_session_add_body(s, lane, NULL, body.data, body.len, ref, NULL) || vcr_session_add_body(s, "", NULL, said, sizeof said - 1, answer, NULL) ||
	    vcr_json_parse(&j, body.data, body.len, 0, NULL))
		abort();
	vcr_canon_keys(NULL, "POST", path, body.data, body.len, &j, k0, k1);
	vcr_buf_printf(&vcr, "{\"seq\":%u,\"api\":\"openai.chat\",\"method\":\"POST\",\"path\":\"%s\",\"host\":\"api.openai.com\",\"status\":200,\"complete\":true,\"items\":%u,\"request_bytes\":%zu,\"k0\":\"%s\",\"k1\":\"%s\",\"request\":\"%s\",\"response\":\"%s\"}",
		k, path, k % turns + 1, body.len, k0, k1, ref, answer);
	struct vcr_frame f = { .type = VCR_FRAME_LLM, .node_name = "llm:m", .vcr_json = vcr.data, .tokens_in = -1, .tokens_out = -1, .tokens_total = -1, .cost_usd = -1 };
	if (vcr_session_add_frame(s, &f, NULL, NULL))
		abort();
}

static void ask(struct vcr_reader *r, const char *name, unsigned calls, unsigned turns, size_t bytes, int run, bool turned, enum vcr_rung want)
{
	struct vcr_match *m;
	struct vcr_match_options o = { .rung = VCR_RUNG_NORMALISED, .repeat = VCR_REPEAT_NONE };
	double sum = 0, worst = 0, began = now_us();
	unsigned found = 0;
	if (vcr_match_new(&m, r, &o, NULL))
		abort();
	double opened = now_us() - began;
	for (unsigned k = 0; k < calls; k++) {
		VCR_AUTO_BUF body = VCR_BUF_INIT;
		enum vcr_rung rung;
		request(&body, k, turns, bytes, run, turned);
		struct vcr_match_query q = { VCR_API_OPENAI_CHAT, "POST", path, body.data, body.len };
		double before = now_us();
		struct vcr_recorded *c = vcr_match_give(m, &q, &rung);
		double took = now_us() - before;
		sum += took;
		worst = took > worst ? took : worst;
		found += c && rung == want && c->frame == (int64_t)k;
	}
	vcr_match_free(m);
	if (found != calls) {
		fprintf(stderr, "match: %u of %u were found as %s\n", found, calls, name);
		exit(1);
	}
	printf("%s\"%s\":{\"open_us\":%.0f,\"mean_us\":%.2f,\"worst_us\":%.0f}", want == VCR_RUNG_EXACT ? "" : ",", name, opened, sum / calls, worst);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/vcr-bench-match-XXXXXX", file[100], command[120];
	if (argc != 4 || !mkdtemp(dir))
		return 2;
	unsigned calls = (unsigned)atoi(argv[1]), turns = (unsigned)atoi(argv[2]);
	size_t bytes = (size_t)atoi(argv[3]);
	struct vcr_session_options o = { .session_id = "bench", .forked_from_frame = -1 };
	struct vcr_session *s;
	struct vcr_reader *r;
	if (vcr_session_create(&s, dir, &o, NULL))
		return 3;
	for (unsigned k = 0; k < calls; k++)
		record(s, k, turns, bytes);
	snprintf(file, sizeof file, "%s", vcr_session_path(s));
	vcr_session_end(s, NULL, NULL);
	if (vcr_reader_open(&r, file, NULL, NULL, NULL))
		return 3;
	putchar('{');
	ask(r, "exact", calls, turns, bytes, 0, false, VCR_RUNG_EXACT);
	ask(r, "canonical", calls, turns, bytes, 0, true, VCR_RUNG_CANONICAL);
	ask(r, "normalised", calls, turns, bytes, 1, false, VCR_RUNG_NORMALISED);
	puts("}");
	vcr_reader_free(r);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command) ? 3 : 0;
}
