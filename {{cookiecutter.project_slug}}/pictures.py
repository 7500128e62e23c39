# {% include "tasks/" ~ cookiecutter.task ~ "/pictures.py" %}
