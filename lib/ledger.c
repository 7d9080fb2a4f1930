#include "ledger.h"
#include <math.h>

/* A recording may claim anything; sums stay finite. */
static double sane(double v)
{
	return v > 0 && v < 1e15 ? v : 0;
}

static void add(struct vcr_spent *s, const struct vcr_reader_frame *f, int64_t n)
{
	s->tokens += n * (f->tokens > 0 && f->tokens < (int64_t)1 << 40 ? f->tokens : 0);
	s->cost_usd += (double)n * sane(f->cost_usd);
	s->ms += (double)n * sane(f->latency_ms);
}

void vcr_ledger_add(struct vcr_ledger *l, const struct vcr_reader_frame *f, int64_t times)
{
	int64_t n = times > 0 && times < 1 << 20 ? times : 0;
	add(&l->original, f, n);
	l->replayed += n;
}

void vcr_ledger_add_live(struct vcr_ledger *l, const struct vcr_reader_frame *f)
{
	add(&l->original, f, 1);
	add(&l->replay, f, 1);
	l->live++;
}

double vcr_ledger_percent(const struct vcr_ledger *l)
{
	if (l->original.cost_usd > 0)
		return (l->original.cost_usd - l->replay.cost_usd) / l->original.cost_usd * 100;
	return l->original.tokens > 0 ? (double)(l->original.tokens - l->replay.tokens) / (double)l->original.tokens * 100 : 100;
}

static double rounded(double v, double unit)
{
	return round(v * unit) / unit;
}

static void write_spent(struct vcr_jw *w, const char *name, const char *time, const struct vcr_spent *s, const double *percent)
{
	vcr_jw_key(w, name);
	vcr_jw_object(w);
	vcr_jw_key(w, "tokens");
	vcr_jw_int(w, s->tokens);
	vcr_jw_key(w, "cost_usd");
	vcr_jw_double(w, rounded(s->cost_usd, 1e4));
	vcr_jw_key(w, time);
	vcr_jw_double(w, rounded(s->ms, 1e2));
	if (percent) {
		vcr_jw_key(w, "percent");
		vcr_jw_double(w, rounded(*percent, 10));
	}
	vcr_jw_object_end(w);
}

void vcr_ledger_write(const struct vcr_ledger *l, struct vcr_jw *w)
{
	struct vcr_spent saved = { l->original.tokens - l->replay.tokens, l->original.cost_usd - l->replay.cost_usd, l->original.ms - l->replay.ms };
	double percent = vcr_ledger_percent(l);
	vcr_jw_object(w);
	write_spent(w, "original", "latency_ms", &l->original, NULL);
	write_spent(w, "replay", "latency_ms", &l->replay, NULL);
	write_spent(w, "saved", "time_ms", &saved, &percent);
	vcr_jw_key(w, "steps_replayed");
	vcr_jw_int(w, l->replayed);
	vcr_jw_key(w, "steps_rerun");
	vcr_jw_int(w, l->live);
	vcr_jw_object_end(w);
}
