/* hello.h — the client's hello, the first bytes of TLS (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301): whom it is for. For the shim, which sees it pass, and for the
 * gate, which may have got a connection that was meant for somebody else. No state, no allocation; whatever the bytes are, it reads inside them. */
#ifndef VCR_SHIM_HELLO_H
#define VCR_SHIM_HELLO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
enum { VCR_HELLO_NAME = 124 }; /* as VCR_LEAD_NAME */
/* The server's name in lower case, and whether HTTP/2 is all that is offered. False: it is no hello, or it names nobody. */
bool vcr_hello_read(const void *p, size_t n, char name[VCR_HELLO_NAME], bool *only_h2);
#endif
