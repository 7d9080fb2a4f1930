#include "envelope.h"

int vcr_envelope(enum vcr_api api, int status, const char *message, const char *code, const char *pointer, struct vcr_buf *out)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	if (api == VCR_API_ANTHROPIC_MESSAGES) {
		vcr_jw_key(&w, "type");
		vcr_jw_str(&w, "error");
	}
	vcr_jw_key(&w, "error");
	vcr_jw_object(&w);
	if (api == VCR_API_GEMINI_GENERATE || api == VCR_API_GEMINI_EMBED) {
		vcr_jw_key(&w, "code");
		vcr_jw_int(&w, status);
	} else {
		vcr_jw_key(&w, "type");
		vcr_jw_str(&w, "invalid_request_error");
	}
	vcr_jw_key(&w, "message");
	vcr_jw_str(&w, message);
	if (api == VCR_API_GEMINI_GENERATE || api == VCR_API_GEMINI_EMBED) {
		vcr_jw_key(&w, "status");
		vcr_jw_str(&w, "INVALID_ARGUMENT");
	} else if (api != VCR_API_ANTHROPIC_MESSAGES) {
		vcr_jw_key(&w, "param");
		vcr_jw_str(&w, pointer && *pointer ? pointer : NULL);
		vcr_jw_key(&w, "code");
		vcr_jw_str(&w, code);
	}
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	return out->err;
}
