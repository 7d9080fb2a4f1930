/* ledger.h — what a replay cost beside what the recorded calls had cost: ai-agent-vcr's CostLedger. */
#ifndef VCR_LEDGER_H
#define VCR_LEDGER_H
#include <stdint.h>
#include "json.h"
#include "reader.h"

struct vcr_spent { int64_t tokens; double cost_usd, ms; };
struct vcr_ledger {
	struct vcr_spent original, replay;
	int64_t replayed, live;      /* calls */
};
/* That frame was answered `times` times from the recording. Unknown tokens, costs and times count as none. */
void vcr_ledger_add(struct vcr_ledger *l, const struct vcr_reader_frame *f, int64_t times);
/* That frame was asked of the real host: it costs what it costs, with a recording or without. */
void vcr_ledger_add_live(struct vcr_ledger *l, const struct vcr_reader_frame *f);
/* Of the cost; of the tokens where nothing has a price; 100 where there are none either. */
double vcr_ledger_percent(const struct vcr_ledger *l);
/* {"original":{tokens,cost_usd,latency_ms},"replay":{…},"saved":{tokens,cost_usd,time_ms,percent},"steps_replayed":N,"steps_rerun":N} */
void vcr_ledger_write(const struct vcr_ledger *l, struct vcr_jw *w);

#endif
