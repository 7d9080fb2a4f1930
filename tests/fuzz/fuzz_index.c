/* What decodes is within the bounds that it states; what is encoded decodes to the same. Its sum is made right, so that what is behind it is reached. */
#include "fuzz.h"
#include "index.h"
#include "limits.h"
#include "../../lib/reader-parts.h"

static void check(const struct vcr_index *x, const char *p, size_t n)
{
	VCR_AUTO_BUF again = VCR_BUF_INIT;
	struct vcr_index_head head = x->head;
	struct vcr_index_line *line = calloc(head.n + 1, sizeof *line);
	FUZZ_CHECK(line && head.ntypes <= VCR_INDEX_TYPES && head.n <= VCR_INDEX_LINES);
	uint64_t bytes = 0;
	for (size_t i = 0; i < head.n; i++) {
		line[i] = vcr_index_line(x, i);
		FUZZ_CHECK(line[i].offset + line[i].len < head.of.size && line[i].len <= VCR_MAX_LINE);
		FUZZ_CHECK(line[i].kind == VCR_INDEX_LOOK || strlen(vcr_index_type(x, line[i].type)) < VCR_INDEX_TYPE);
		bytes += line[i].len + 1;
	}
	FUZZ_CHECK(bytes <= head.of.size);
	FUZZ_CHECK(!vcr_index_encode(&again, &head, x->type, line) && again.len == n && !memcmp(again.data, p, n));
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcr_index x;
	char *p = size ? fuzz_exact((const char *)data, size) : calloc(1, 1);
	if (!vcr_index_decode(&x, p, size))
		check(&x, p, size);
	if (size >= sizeof(struct vcr_index_head) + VCR_INDEX_SUM) {
		uint64_t sum = vcr_reader_hash(p, size - VCR_INDEX_SUM);
		memcpy(p + size - VCR_INDEX_SUM, &sum, sizeof sum);
		if (!vcr_index_decode(&x, p, size))
			check(&x, p, size);
	}
	free(p);
	return 0;
}
