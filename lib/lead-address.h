/* lead-address.h — connections that the supervisor (supervise.h) leads to the gate, or the library for gRPC: known by their address alone, told in lead_block.address of the spool's
 * header (../shim/spool-format.h), which every process of the session can write: what is read is copied and checked. */
#ifndef VCR_LEAD_ADDRESS_H
#define VCR_LEAD_ADDRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "spool-format.h"

enum vcr_lead_goal {
	VCR_GOAL_NONE,    /* it is none of the gate's */
	VCR_GOAL_GATE,    /* it may be: connect to the gate, then say where it was to go */
	VCR_GOAL_OUT,     /* replay: that place is not on this machine */
};
/* This machine's ports are the gate's when a model host with that port is configured; in a record others are that speak HTTP or TLS by their port, and
 * listed addresses; in a replay all are. n: bytes of *a. */
enum vcr_lead_goal vcr_lead_goal(const struct vcr_spool_header *h, const struct sockaddr *a, unsigned n, bool stream);
/* Is it a model host's by itself, whatever is said there? */
bool vcr_lead_lists_address(const struct vcr_spool_header *h, const struct sockaddr *a, unsigned n);
/* A connection from local address `own` to the gate was meant for `meant`; both have room for an address of IPv6. False: one is none of IP. */
bool vcr_lead_say_address(struct vcr_spool_header *h, const struct sockaddr *own, const struct sockaddr *meant, int pid);
enum { VCR_LEAD_ADDRESS = 64 };
/* The gate's side: key is the peer's port, with VCR_LED_V6. Where it was to go, as ADDRESS:PORT, by whom, and whether that is this machine's and a model's by itself. Once. */
bool vcr_lead_take_address(struct vcr_spool_header *h, uint32_t key, char to[VCR_LEAD_ADDRESS], int *pid, bool *here);

#endif
