# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
# {% include "distributed/" ~ cookiecutter.distributed ~ "/distributed.py" %}
