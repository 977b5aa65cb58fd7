/* What the bindings see: the headers of DPDK, and a symbol or a constant for each thing in them
 * that is `static inline`, a computed macro, or a field that moves between releases. */
#ifndef DPDK_SHIM_H
#define DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_flow.h>
#include <rte_hash.h>
#include <rte_ip_frag.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed"
#endif

/* Where the fields of an mbuf are. Anonymous unions and markers come and go between releases
 * (data_off is in one from 24.07 on), so Rust reads and writes by offset. */
enum {
	SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	SHIM_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type),
	SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	SHIM_MBUF_SIZE = sizeof(struct rte_mbuf),
	SHIM_PKTMBUF_HEADROOM = RTE_PKTMBUF_HEADROOM,
	SHIM_MEMPOOL_CACHE_MAX = RTE_MEMPOOL_CACHE_MAX_SIZE,
};

/* Computed 64-bit macros, which bindgen does not evaluate. */
enum {
	SHIM_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK,
	SHIM_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD,
	SHIM_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD,
};
enum {
	/* What all kinds of IPv4 and none of IPv6 have among the bits of the third layer. */
	SHIM_PTYPE_L3_IPV4 = RTE_PTYPE_L3_IPV4,
	SHIM_PTYPE_TUNNEL_MASK = RTE_PTYPE_TUNNEL_MASK,
};
enum {
	SHIM_RSS_IP = RTE_ETH_RSS_IP,
	SHIM_RSS_TCP = RTE_ETH_RSS_TCP,
	SHIM_RSS_UDP = RTE_ETH_RSS_UDP,
	SHIM_RSS_LEVEL_INNERMOST = RTE_ETH_RSS_LEVEL_INNERMOST,
	SHIM_RSS_LEVEL_MASK = RTE_ETH_RSS_LEVEL_MASK,
};
enum {
	SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM,
	SHIM_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM,
	SHIM_TX_OFFLOAD_OUTER_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM,
	SHIM_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER,
	SHIM_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
};

/* A link as DPDK reports it; its own structure is a union in some releases. */
struct shim_link {
	uint32_t speed_mbps;
	uint8_t up;
	uint8_t full_duplex;
};

/* One line of DPDK's log; `text` is not terminated. May be called by any thread. */
typedef void (*shim_log_line)(uint32_t level, const char *text, size_t len);

/* The error of this thread's last failed call. */
int shim_errno(void);
/* This thread's lcore, LCORE_ID_ANY when it is not registered. */
unsigned int shim_lcore_id(void);
/* Sends the log to `line` instead of stderr and syslog. Before rte_eal_init. 0 or -errno. */
int shim_log_to(shim_log_line line);
/* 0 or -errno. */
int shim_link_get(uint16_t port, struct shim_link *link);

/* A rule that spreads the packets of IP in IP over queues by the addresses and ports of the inner
 * packet. The families are 4 and 6; `types` is a set of RTE_ETH_RSS_*. */
struct shim_spread {
	uint8_t outer;
	uint8_t inner;
	uint16_t queue_count;
	const uint16_t *queues;
	uint64_t types;
};

/* Asks the device whether it would take the rule. 0 or -errno, and then in `text`, of `room` bytes,
 * what the driver says about it. */
int shim_spread_validate(uint16_t port, const struct shim_spread *rule, char *text, size_t room);
/* Makes the rule, which goes with the port. As above. */
int shim_spread_create(uint16_t port, const struct shim_spread *rule, char *text, size_t room);

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
/* All or nothing: 0 or -errno. */
int shim_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
/* Copies all segments into the first, if there is room: 0, otherwise -1. */
int shim_linearize(struct rte_mbuf *mbuf);

#endif
