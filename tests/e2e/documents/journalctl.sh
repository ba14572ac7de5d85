#!/bin/sh
# The log of the service that systemctl.sh has started, whatever else is asked for.
exec cat /var/log/tidings.service.log
