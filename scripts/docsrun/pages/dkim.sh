machine() { installed; started; }

# published puts into the DNS what is to be published for a domain.
published() { publish "$(yubin dkim show-dns "$1" | grep -v '^;')"; }
