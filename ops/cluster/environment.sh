# What Ray is started with on every node of a cluster; to be read by bash (`. ops/cluster/environment.sh`) in the
# folder that holds the code. deployments/server.py has the same for one machine, and a test compares.
#
# Secrets lie in ~/clearcast-secrets (or $CLEARCAST_SECRETS), which nobody else may read:
#   environment   lines NAME=value: RAY_AUTH_TOKEN, CLEARCAST__STORAGE__DATABASE_URL, …S3_ACCESS_KEY, …S3_SECRET_KEY
#   tls/          ca.crt and ca.key of make_certificates.sh; this node's own certificate is made beside them
set -a
secrets=${CLEARCAST_SECRETS:-$HOME/clearcast-secrets}
. "$secrets/environment"
: "${RAY_AUTH_TOKEN:?"is missing in $secrets/environment"}"
RAY_AUTH_MODE=token

CLEARCAST_NODE_ADDRESS=${CLEARCAST_NODE_ADDRESS:-$(hostname -I | cut -d' ' -f1)}
bash ops/cluster/make_certificates.sh "$secrets/tls" "$CLEARCAST_NODE_ADDRESS"
RAY_USE_TLS=1
RAY_TLS_CA_CERT=$secrets/tls/$CLEARCAST_NODE_ADDRESS/ca.crt
RAY_TLS_SERVER_CERT=$secrets/tls/$CLEARCAST_NODE_ADDRESS/node.crt
RAY_TLS_SERVER_KEY=$secrets/tls/$CLEARCAST_NODE_ADDRESS/node.key

PYTHONPATH=$PWD
RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=1
RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S=3
RAY_SERVE_SLOW_STARTUP_WARNING_S=10
RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S=10
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deployments.backpressure.bound_proxy
FORWARDED_ALLOW_IPS=
RAY_USAGE_STATS_ENABLED=0
# A node whose processes have gone is noticed after a second and a half, not after a quarter of a minute; one that is
# only busy has Ray's ten seconds for each answer.
RAY_health_check_period_ms=500
RAY_health_check_failure_threshold=3
set +a
