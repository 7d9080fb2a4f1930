/* The whole input is a text: its canonical form is valid, says the same and is its own canonical form; as a state it fits the session file. */
#include "fuzz.h"
#include "canon.h"
#include "state.h"

static void check_canon(const struct vcr_json *j)
{
	VCR_AUTO_BUF one = VCR_BUF_INIT, two = VCR_BUF_INIT;
	VCR_AUTO_JSON k = VCR_JSON_INIT;
	char k0[VCR_KEY_LEN], k1[VCR_KEY_LEN], again0[VCR_KEY_LEN], again1[VCR_KEY_LEN];
	FUZZ_CHECK(!vcr_canon_json(j, 0, &one) && fuzz_ascii(&one) && !vcr_json_parse(&k, one.data, one.len, 0, NULL));
	FUZZ_CHECK(!vcr_canon_json(&k, 0, &two) && fuzz_same(&one, &two));
	vcr_canon_keys(NULL, "POST", "/v1/messages", j->text, j->len, j, k0, k1);
	vcr_canon_keys(NULL, "POST", "/v1/messages", one.data, one.len, &k, again0, again1);
	FUZZ_CHECK(!strcmp(k1, again1) && strlen(k0) == 64);
}

static int depth_of(const struct vcr_json *j, int v)
{
	int deepest = 0;
	bool object = vcr_json_type(j, v) == VCR_JSON_OBJECT;
	for (int m = vcr_json_first(j, v); m >= 0; m = vcr_json_next(j, m)) {
		int d = depth_of(j, object ? vcr_json_value(j, m) : m);
		deepest = d > deepest ? d : deepest;
	}
	return deepest + (object || vcr_json_type(j, v) == VCR_JSON_ARRAY);
}

static void check_state(const char *text)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT, back = VCR_BUF_INIT;
	VCR_AUTO_JSON s = VCR_JSON_INIT;
	struct vcr_jw w;
	FUZZ_CHECK(!vcr_state_write(&state, text) && fuzz_ascii(&state) && !memchr(state.data, '\n', state.len));
	/* The deepest states are beyond the limit for texts from outside. */
	FUZZ_CHECK(!vcr_json_parse(&s, state.data, state.len, VCR_JSON_RELAXED, NULL) && vcr_json_type(&s, 0) == VCR_JSON_OBJECT);
	FUZZ_CHECK(depth_of(&s, 0) <= VCR_MAX_STATE_DEPTH + 2);
	int strict = vcr_json_validate(state.data, state.len, 0, NULL, NULL);
	FUZZ_CHECK(!strict || strict == VCR_ELIMIT);
	vcr_jw_init(&w, &back);
	vcr_state_unwrap(&w, &s, 0, true);
	FUZZ_CHECK(fuzz_valid_json(&back, VCR_JSON_RELAXED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_buf_add(&text, data, size);
	if (!vcr_json_parse(&j, text.data, text.len, 0, NULL))
		check_canon(&j);
	check_state(text.data);
	return 0;
}
