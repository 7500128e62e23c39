# {% include "distributed/" ~ cookiecutter.distributed ~ "/distributed.py" %}
