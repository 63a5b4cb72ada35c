machine() { mkdir -p /etc/fail2ban/filter.d /etc/fail2ban/jail.d; }
