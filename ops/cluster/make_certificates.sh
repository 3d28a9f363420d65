#!/usr/bin/env bash
# Certificates for the traffic between Ray's nodes, which is checked on both sides (mutual TLS).
#   bash ops/cluster/make_certificates.sh FOLDER ADDRESS…
# makes an authority in FOLDER if there is none, and of each node's address (name or IP) a folder with three
# files: ca.crt, node.crt, node.key. Copy each folder to its node as ~/clearcast-secrets/tls, and keep ca.key
# on no node. With a folder's certificate and the token somebody can run code on the whole cluster.
set -euo pipefail
umask 077

folder=${1:?"usage: make_certificates.sh FOLDER ADDRESS…"}
shift
days=${DAYS:-825}
mkdir -p "$folder"
if [ ! -e "$folder/ca.key" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" -subj "/CN=clearcast cluster" 2>/dev/null
fi
for address in "$@"; do
  made="$folder/$address"
  mkdir -p "$made"
  # Nodes reach each other by address, a node reaches itself over loopback.
  kind=DNS
  [[ "$address" =~ ^[0-9.]+$ || "$address" == *:* ]] && kind=IP
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout "$made/node.key" -out "$made/node.csr" -subj "/CN=$address" 2>/dev/null
  openssl x509 -req -in "$made/node.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial \
    -days "$days" -out "$made/node.crt" \
    -extfile <(echo "subjectAltName=$kind:$address,DNS:localhost,IP:127.0.0.1") 2>/dev/null
  rm "$made/node.csr"
  cp "$folder/ca.crt" "$made/"
done
