"""What campaigns are made of: points of a process to harm it at, forked processes, a scene, the result they report."""
