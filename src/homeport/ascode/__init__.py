"""Enrollment as code: what files declare, how that differs from what a service has, and making it so.

Also moving enrollments in and out in bulk: CSV, and another provisioning service. A user of `homeport.client`; the
command line shows what happens here.
"""
