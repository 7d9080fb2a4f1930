#include "coverage.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 5, NAME_COLUMNS = 24 };

static int64_t number(const struct vcr_json *j, int object, const char *key)
{
	int64_t n = 0;
	vcr_json_int(j, vcr_json_get(j, object, key), &n);
	return n;
}

/* Printable, and short. */
static void add_text(struct vcr_buf *out, const struct vcr_json *j, int object, const char *key, size_t columns)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	if (!vcr_json_str(j, vcr_json_get(j, object, key), &text))
		vcr_safe_line(out, text.data, text.len, columns);
}

/* "a, b, c and 7 more": names are counted and the first few are kept. */
struct names { struct vcr_buf text; int n; };

static void add_name(struct names *l, const char *text)
{
	if (l->n++ < MOST_NAMES)
		vcr_buf_printf(&l->text, "%s%s", l->n > 1 ? ", " : "", text);
}

static void end_names(struct names *l)
{
	if (l->n > MOST_NAMES)
		vcr_buf_printf(&l->text, " and %d more", l->n - MOST_NAMES);
}

void vcr_coverage_say(const struct vcr_tool *t, const struct vcr_json *j)
{
	struct names called = { VCR_BUF_INIT, 0 }, outside = { VCR_BUF_INIT, 0 };
	int list = vcr_json_get(j, 0, "coverage"), others = 0;
	for (int p = vcr_json_first(j, list); p >= 0; p = vcr_json_next(j, p)) {
		VCR_AUTO_BUF name = VCR_BUF_INIT, lane = VCR_BUF_INIT, how = VCR_BUF_INIT, one = VCR_BUF_INIT;
		int64_t calls = number(j, p, "model_calls");
		add_text(&name, j, p, "program", NAME_COLUMNS);
		add_text(&lane, j, p, "lane", 12);
		add_text(&how, j, p, "how", 12);
		if (calls > 0) {
			vcr_buf_printf(&one, "%s %lld (%s)", name.data, (long long)calls, lane.data);
			add_name(&called, one.data);
		} else if (strcmp(how.data, "hooked")) {
			vcr_buf_printf(&one, "%s (%s)", name.data, how.data);
			add_name(&outside, one.data);
		} else {
			others++;
		}
	}
	end_names(&called);
	end_names(&outside);
	if (called.n)
		vcr_say(t, "model calls by %s; %d other program%s", called.text.data, others, others == 1 ? "" : "s");
	if (outside.n)
		vcr_say(t, "not entered: %s; vcr-log --coverage says why", outside.text.data);
	vcr_buf_release(&called.text);
	vcr_buf_release(&outside.text);
}

/* ---- The table ---- */

struct row { int at; int64_t calls; };

static int by_calls(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return x->calls != y->calls ? (x->calls < y->calls) - (x->calls > y->calls) : x->at - y->at;
}

static void print_row(const struct vcr_tool *t, const struct vcr_json *j, int p)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, how = VCR_BUF_INIT, lane = VCR_BUF_INIT, out = VCR_BUF_INIT, in = VCR_BUF_INIT, why = VCR_BUF_INIT;
	add_text(&name, j, p, "program", NAME_COLUMNS);
	add_text(&how, j, p, "how", 12);
	add_text(&lane, j, p, "lane", 9);
	add_text(&why, j, p, "why", 120);
	vcr_words_bytes(&out, number(j, p, "bytes_out"));
	vcr_words_bytes(&in, number(j, p, "bytes_in"));
	if (number(j, p, "dropped_records") > 0)
		vcr_buf_printf(&why, "%s%lld records lost", why.len ? "; " : "", (long long)number(j, p, "dropped_records"));
	bool bad = strcmp(how.data, "hooked") != 0;
	printf("%-*s %s%-9s%s %-9s %6lld %6lld %5lld %9s %9s  %s\n", NAME_COLUMNS, name.data, vcr_on(t, bad ? VCR_YELLOW : VCR_PLAIN), how.data, vcr_on(t, VCR_PLAIN), lane.data,
		(long long)number(j, p, "processes"), (long long)(number(j, p, "tls_connections") + number(j, p, "plain_connections")), (long long)number(j, p, "model_calls"),
		out.data, in.data, why.data);
}

static void print_object(const struct vcr_json *j, int p)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &text);
	vcr_jw_value(&w, j, p);
	printf("%s\n", text.data);
}

static void print_reasons(const struct vcr_json *j)
{
	VCR_AUTO_BUF why = VCR_BUF_INIT;
	int losses = vcr_json_get(j, 0, "losses"), unseen = vcr_json_get(j, 0, "unseen");
	add_text(&why, j, 0, "no_calls_because", 0);
	if (why.len)
		printf("no model calls: %s\n", why.data);
	for (int m = vcr_json_first(j, unseen); m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF raw = VCR_BUF_INIT, line = VCR_BUF_INIT;
		if (!vcr_json_str(j, m, &raw))
			vcr_safe_line(&line, raw.data, raw.len, 0);
		if (line.len && strcmp(line.data, why.data))
			printf("not seen: %s\n", line.data);
	}
	for (int k = vcr_json_first(j, losses); k >= 0; k = vcr_json_next(j, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT, line = VCR_BUF_INIT;
		int64_t n = 0;
		if (vcr_json_int(j, vcr_json_value(j, k), &n) && n > 0 && !vcr_json_str(j, k, &key)) {
			vcr_safe_line(&line, key.data, key.len, 40);
			printf("lost: %s %lld\n", line.data, (long long)n);
		}
	}
}

bool vcr_coverage_print(const struct vcr_tool *t, const struct vcr_json *j)
{
	int list = vcr_json_get(j, 0, "coverage"), n = vcr_json_count(j, list), k = 0;
	struct row *row = vcr_json_type(j, list) == VCR_JSON_ARRAY ? calloc((size_t)n + 1, sizeof *row) : NULL;
	if (!row)
		return false;
	for (int p = vcr_json_first(j, list); p >= 0; p = vcr_json_next(j, p), k++) {
		row[k].at = p;
		row[k].calls = number(j, p, "model_calls");
	}
	qsort(row, (size_t)k, sizeof *row, by_calls);
	if (!t->json && k)
		printf("%s%-*s %-9s %-9s %6s %6s %5s %9s %9s  %s%s\n", vcr_on(t, VCR_DIM), NAME_COLUMNS, "program", "library", "lane", "runs", "conns", "calls", "sent", "received", "why",
			vcr_on(t, VCR_PLAIN));
	for (int i = 0; i < k; i++) {
		if (t->json)
			print_object(j, row[i].at);
		else
			print_row(t, j, row[i].at);
	}
	free(row);
	if (!t->json)
		print_reasons(j);
	return true;
}
